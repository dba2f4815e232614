/** Files of other programs that hold arrays: NumPy's. (safetensors, our own format too, are with the tensors.) */
export { readNpy, writeNpy } from './npy.js'
export { readNpz, writeNpz } from './npz.js'
