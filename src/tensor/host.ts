/** Tensors in host memory, whatever the default device is: for what is read from files. */
import { fromData, type DType, type Tensor, type TypedArray } from '../native.js'

/** A tensor of the values, copied; row-major. */
export function hostTensor(data: TypedArray, shape: readonly number[], dtype?: DType): Tensor {
  return fromData(data, [...shape], dtype, 'cpu')
}
