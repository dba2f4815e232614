/** safetensors files: what is written comes back, and whatever is wrong with a file is said, never guessed at. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { errorCode, SptError } from '../../src/errors.js'
import { full, memory, parseSafetensors, readSafetensors, resetPeakMemory } from '../../src/tensor/index.js'
import { SafetensorsReader, scope, tensor, type Tensor, writeSafetensors } from '../../src/tensor/index.js'
import { Generator } from '../../src/native.js'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-safetensors-'))
  path = join(folder, 'weights.safetensors')
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const tensors = (): Record<string, Tensor> => ({
  'conv1.weight': tensor([0.1, -2, 3e-38, Infinity, -0, NaN], { shape: [1, 2, 3] }),
  double: tensor(Float64Array.of(1 / 3, -1e300)),
  tracked: tensor(-7n),
  count: tensor(BigInt64Array.of(2n ** 62n, -(2n ** 63n))),
  bytes: tensor(Uint8Array.of(0, 255, 7)),
  mask: tensor([true, false, true]),
  empty: full([0, 4], 0),
  'naïve "name"': tensor([1]),
})

describe('what is written', () => {
  test('comes back with its type, shape, numbers and metadata', async () => {
    await writeSafetensors(path, tensors(), { metadata: { format: 'pt', note: 'ü' } })
    const back = await readSafetensors(path)
    expect(back.metadata).toEqual({ format: 'pt', note: 'ü' })
    expect([...back.tensors.keys()]).toEqual(Object.keys(tensors()))
    for (const [name, value] of Object.entries(tensors())) {
      const found = back.tensors.get(name) as Tensor
      expect([name, found.dtype, found.shape]).toEqual([name, value.dtype, value.shape])
      expect(await found.data()).toEqual(await value.data())
    }
  })

  test('is row-major, whatever the order in memory', async () => {
    const images = tensor(Float32Array.from({ length: 24 }, (_, index) => index)).reshape([1, 2, 3, 4])
    await writeSafetensors(path, { nhwc: images.channelsLast(), turned: images.permute([3, 0, 2, 1]) })
    const back = await readSafetensors(path)
    expect(await back.tensors.get('nhwc')?.data()).toEqual(await images.data())
    expect(await back.tensors.get('turned')?.data()).toEqual(await images.permute([3, 0, 2, 1]).contiguous().data())
  })

  test('is aligned: each tensor begins at a multiple of its element', async () => {
    await writeSafetensors(path, tensors())
    const reader = await SafetensorsReader.open(path)
    const width: Record<string, number> = { F64: 8, I64: 8, F32: 4, U8: 1, BOOL: 1 }
    for (const { dtype, offsets } of reader.entries.values()) expect(offsets[0] % (width[dtype] ?? NaN)).toBe(0)
    await reader.close()
    expect(Number((await readFile(path)).readBigUInt64LE()) % 8).toBe(0)
  })

  test('can be read one tensor at a time', async () => {
    await writeSafetensors(path, Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`t${i}`, full([1 << 18], i)])))
    const reader = await SafetensorsReader.open(path)
    resetPeakMemory()
    const before = memory().liveBytes
    for (let index = 0; index < 8; index += 1) {
      await scope(async () => {
        expect(await (await reader.read(`t${index}`)).mean().item()).toBe(index)
      })
    }
    await reader.close()
    expect(memory().peakBytes - before).toBeLessThan(2 * 4 * 2 ** 18)
  })

  test('replaces the old file only when all of it is there', async () => {
    await writeSafetensors(path, { a: tensor([1]) })
    const before = await readFile(path)
    const gone = tensor([1, 2])
    gone.dispose()
    await expect(writeSafetensors(path, { a: tensor([2]), gone })).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    expect(await readFile(path)).toEqual(before)
    expect(await readdir(folder)).toEqual(['weights.safetensors'])
  })

  test('cannot be called __metadata__, nor lie where no file can', async () => {
    await expect(writeSafetensors(path, { __metadata__: tensor([1]) })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
    await writeFile(path, 'a file')
    await expect(writeSafetensors(join(path, 'below'), { a: tensor([1]) })).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
    })
  })
})

describe('types of other programs', () => {
  const one = (dtype: string, bytes: number[], shape = [1]) =>
    parseSafetensors(file({ x: { dtype, shape, data_offsets: [0, bytes.length] } }, bytes)).tensors.get('x') as Tensor

  test.each([
    ['F16', 'float16', [0x00, 0x3c, 0x01, 0x00, 0xff, 0x7b, 0x00, 0xfc], [1, 2 ** -24, 65504, -Infinity]],
    ['BF16', 'bfloat16', [0x80, 0x3f, 0x80, 0xff, 0x00, 0x80, 0x49, 0x40], [1, -Infinity, -0, 3.140625]],
  ])('%s is read as %s and written again byte for byte', async (dtype, name, bytes, values) => {
    const read = one(dtype, bytes, [2, 2])
    expect([read.dtype, read.shape]).toEqual([name, [2, 2]])
    expect(await read.data()).toEqual(Float32Array.from(values))
    await writeSafetensors(path, { x: read })
    expect([...(await readFile(path)).subarray(-8)]).toEqual(bytes)
  })

  test.each([
    ['I8', [0xff], -1n],
    ['I16', [0x00, 0x80], -32768n],
    ['I32', [0, 0, 0, 0x80], -2147483648n],
    ['U16', [0xff, 0xff], 65535n],
    ['U32', [0xff, 0xff, 0xff, 0xff], 4294967295n],
  ])('%s becomes int64', async (dtype, bytes, value) => {
    const read = one(dtype, bytes)
    expect([read.dtype, await read.data()]).toEqual(['int64', BigInt64Array.of(value)])
  })

  test('F8 is refused as what cannot be read', () => {
    expect(() => one('F8_E4M3', [1])).toThrow(expect.objectContaining({ code: 'ERR_UNSUPPORTED' }))
  })
})

describe('a wrong file is ERR_CHECKPOINT, naming file, tensor and numbers', () => {
  const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
    dtype: 'F32',
    shape,
    data_offsets: [begin, end],
  })
  const eight = [0, 0, 0, 0, 0, 0, 0, 0]
  test.each<[string, Uint8Array, RegExp]>([
    ['too short', Uint8Array.of(1, 2), /2 bytes are too few/],
    ['a header longer than the file', file({}, [], 100), /header of 100 bytes in 10/],
    ['a header longer than any may be', file({}, [], 2 ** 60), /header of 1152921504606847000 bytes/],
    ['no JSON', raw('{"x":'), /not JSON/],
    ['no UTF-8', raw(Uint8Array.of(0x7b, 0xff, 0x7d)), /not JSON/],
    ['a list', raw('[]'), /not an object/],
    ['metadata that are no strings', file({ __metadata__: { a: 1 } }, []), /metadata/],
    ['an entry that is no object', file({ x: 3 }, []), /"x" has the unknown type/],
    ['an unknown type', file({ x: { ...f32(0, 8), dtype: 'F31' } }, eight), /"x" has the unknown type "F31"/],
    ['a type out of a prototype', file({ x: { ...f32(0, 8), dtype: 'toString' } }, eight), /unknown type "toString"/],
    ['a negative size', file({ x: f32(0, 8, [-2]) }, eight), /"x" has a malformed entry.*-2/],
    ['a fractional size', file({ x: f32(0, 8, [0.5]) }, eight), /malformed/],
    ['a shape that lies', file({ x: f32(0, 8, [3]) }, eight), /"x" has 8 bytes, F32 of its shape \[3\] needs 12/],
    ['a type that lies', file({ x: { ...f32(0, 8), dtype: 'F64' } }, eight), /"x" has 8 bytes, F64 .* needs 16/],
    ['sizes whose product overflows', file({ x: f32(0, 8, [2 ** 52, 2 ** 52]) }, eight), /needs/],
    ['offsets beyond the data', file({ x: f32(0, 16) }, eight), /"x" has bytes 0 to 16 of the data, which has 8/],
    ['offsets the wrong way round', file({ x: { ...f32(8, 0), shape: [2] } }, eight), /bytes 8 to 0/],
    ['tensors that overlap', file({ x: f32(0, 8), y: f32(4, 8) }, eight), /"y" begins at byte 4.*inside of tensor "x"/],
    ['a gap', file({ x: f32(4, 8) }, eight), /"x" begins at byte 4 of the data, the start ends at 0/],
    ['bytes of no tensor', file({ x: f32(0, 4) }, eight), /4 bytes after tensor "x" belong to no tensor/],
    ['a name given twice', raw(`{"x":${JSON.stringify(f32(0, 8))},"\\u0078":1}`, eight), /names "x" twice/],
    [
      'truth values that are neither',
      file({ x: { ...f32(0, 8), dtype: 'BOOL', shape: [8] } }, [0, 1, 2, 0, 0, 0, 0, 0]),
      /byte 2/,
    ],
  ])('%s', async (_, bytes, message) => {
    await writeFile(path, bytes)
    const error = await readSafetensors(path).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(SptError)
    expect(error).toMatchObject({ code: 'ERR_CHECKPOINT', message: expect.stringMatching(message) })
    expect((error as SptError).message).toContain(path)
    expect(() => parseSafetensors(bytes, 'here')).toThrow(message)
  })

  test('one that is cut off while it is read', async () => {
    await writeSafetensors(path, { a: full([1000], 1) })
    const reader = await SafetensorsReader.open(path)
    await truncate(path, 500)
    await expect(reader.read('a')).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
    await reader.close()
  })

  test('a folder, and nothing at all', async () => {
    await expect(readSafetensors(folder)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
    await expect(readSafetensors(join(folder, 'none'))).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
  })

  test('500 mutated files: an error with a code, or tensors as the header says', async () => {
    await writeSafetensors(path, tensors(), { metadata: { format: 'pt' } })
    const whole = new Uint8Array(await readFile(path))
    const outcomes: Array<string | undefined> = []
    for (let seed = 0; seed < 500; seed += 1) outcomes.push(await outcomeOf(mutated(whole, new Generator(seed))))
    expect([...new Set(outcomes)].toSorted()).toEqual(['ERR_CHECKPOINT', 'read'])
    // Each must happen often, or the mutations reach nothing.
    expect(outcomes.filter((outcome) => outcome === 'read').length).toBeGreaterThan(30)
    expect(outcomes.filter((outcome) => outcome === 'ERR_CHECKPOINT').length).toBeGreaterThan(100)
  })
})

/** "read" when each tensor has as many numbers as its shape says, else the code of the error. */
async function outcomeOf(bytes: Uint8Array): Promise<string | undefined> {
  try {
    const { tensors } = parseSafetensors(bytes)
    for (const one of tensors.values()) {
      if ((await one.data()).length !== one.numel) return `${one.numel} elements, ${(await one.data()).length} numbers`
      one.dispose()
    }
    return 'read'
  } catch (error) {
    return errorCode(error) ?? String(error)
  }
}

/** A file with this header, and a length of the header that may lie. */
function file(header: object, data: readonly number[], length?: number): Uint8Array {
  return raw(JSON.stringify(header), data, length)
}

function raw(header: string | Uint8Array, data: readonly number[] = [], length?: number): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header
  const start = new DataView(new ArrayBuffer(8))
  start.setBigUint64(0, BigInt(length ?? json.length), true)
  return Uint8Array.from([...new Uint8Array(start.buffer), ...json, ...data])
}

/** One to four changes: a byte, a digit, a piece cut out, repeated, or the end cut off. */
function mutated(whole: Uint8Array, generator: Generator): Uint8Array {
  let bytes = Uint8Array.from(whole)
  for (let change = generator.integer(4); change >= 0; change -= 1) {
    const at = generator.integer(bytes.length)
    const length = generator.integer(16)
    const kind = generator.integer(6)
    if (kind === 0) bytes[at] = generator.integer(256)
    else if (kind === 1) bytes[at] = 0x30 + generator.integer(10)
    else if (kind === 2) bytes[generator.integer(8)] = generator.integer(256)
    else if (kind === 3) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)])
    else if (kind === 4) bytes = Uint8Array.from([...bytes.subarray(0, at + length), ...bytes.subarray(at)])
    else bytes[bytes.length - 1 - generator.integer(40)] = generator.integer(256)
  }
  return bytes
}
