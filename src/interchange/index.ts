/** Files of other programs that hold arrays: NumPy's and Parquet's. (safetensors, our own format too, are with the tensors.) */
export { readNpy, writeNpy } from './npy.js'
export { readNpz, writeNpz } from './npz.js'
export { writeParquet } from './parquet.js'
