/** The 16-bit floats of other programs' files as float32. Every one of them has an exact float32. */

/** IEEE binary16: 1 sign, 5 exponent and 10 mantissa bits. */
export function halfToFloat(values: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, half)
}

/** bfloat16: the upper half of a float32. */
export function bfloatToFloat(values: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = Uint32Array.from(values, (value) => value << 16)
  return new Float32Array(bits.buffer)
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa ? NaN : sign * Infinity
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
