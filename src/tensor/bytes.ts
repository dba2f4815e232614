/** The elements of a tensor as the bytes that files hold: row-major, little endian, the 16-bit floats as they are. */
import type { Tensor } from '../native.js'

export async function bytesOf(tensor: Tensor): Promise<Uint8Array> {
  const half = tensor.dtype === 'bfloat16' || tensor.dtype === 'float16'
  const data = half ? await tensor.halfBits() : await tensor.data()
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
