/** The wire format of protocol buffers, as much as an ONNX file needs: fields of varints, floats and bytes. */

/** Whole numbers, floats of 32 bits, texts, bytes, or messages already encoded. */
export type Field = readonly [number: number, value: Uint8Array | string | number | bigint | Float]

/** A number that is written as a 32-bit float. */
export class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** The fields of a message in this order. */
export function encode(fields: readonly Field[]): Uint8Array {
  return concatenated(fields.map(([number, value]) => encodeField(number, value)))
}

/** What stands before a field of that many bytes. */
export function fieldStart(number: number, length: number): Uint8Array {
  return concatenated([varint((number << 3) | 2), varint(length)])
}

export function concatenated(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

function encodeField(number: number, value: Field[1]): Uint8Array {
  if (typeof value === 'number' || typeof value === 'bigint') return concatenated([varint(number << 3), varint(value)])
  if (value instanceof Float) {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value.value, true)
    return concatenated([varint((number << 3) | 5), bytes])
  }
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return concatenated([fieldStart(number, bytes.length), bytes])
}

/** Seven bits a byte, the low ones first; negative numbers as 64 bits in two's complement. */
function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 0x80)
  } while (rest !== 0n)
  return Uint8Array.from(bytes)
}
