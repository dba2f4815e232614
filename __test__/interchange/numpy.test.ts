/** .npy and .npz files: against NumPy itself both ways, and whatever is wrong with a file is said. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { errorCode } from '../../src/errors.js'
import { readNpy, readNpz, writeNpy, writeNpz } from '../../src/interchange/index.js'
import { Generator } from '../../src/native.js'
import { full, tensor, type Tensor } from '../../src/tensor/index.js'
import { pythonWith, runPython } from './python.js'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-numpy-'))
  path = join(folder, 'array')
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const tensors = (): Record<string, Tensor> => ({
  weight: tensor([0.1, -2, 3e-38, Infinity, -0, NaN], { shape: [1, 2, 3] }),
  double: tensor(Float64Array.of(1 / 3, -1e300)),
  scalar: tensor(-7n),
  count: tensor(BigInt64Array.of(2n ** 62n, -(2n ** 63n)), { shape: [2, 1] }),
  bytes: tensor(Uint8Array.of(0, 255, 7)),
  mask: tensor([true, false, true]),
  empty: full([0, 4], 0),
  'naïve "name"/1': tensor([1]),
})

describe('what is written comes back', () => {
  test.each(Object.keys(tensors()))('as .npy: %s', async (name) => {
    const value = tensors()[name] as Tensor
    await writeNpy(path, value)
    await expectSame(await readNpy(path), value)
    expect(await readdir(folder)).toEqual(['array'])
  })

  test.each([false, true])('as .npz, deflated: %s', async (compress) => {
    await writeNpz(path, tensors(), { compress })
    const back = await readNpz(path)
    expect([...back.keys()]).toEqual(Object.keys(tensors()))
    for (const [name, value] of Object.entries(tensors())) await expectSame(back.get(name) as Tensor, value)
  })

  test('row by row, whatever the order in memory', async () => {
    const turned = tensor(Float32Array.from({ length: 24 }, (_, index) => index))
      .reshape([2, 3, 4])
      .permute([2, 0, 1])
    await writeNpy(path, turned)
    expect(await (await readNpy(path)).data()).toEqual(await turned.contiguous().data())
  })

  test('one array of several', async () => {
    await writeNpz(path, tensors())
    expect([...(await readNpz(path, { names: ['mask'] })).keys()]).toEqual(['mask'])
    await expect(readNpz(path, { names: ['mast'] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('no array "mast"'),
    })
  })

  test('the same tensors make the same file', async () => {
    await writeNpz(path, tensors(), { compress: true })
    const first = await readFile(path)
    await writeNpz(path, tensors(), { compress: true })
    expect(await readFile(path)).toEqual(first)
  })
})

const numpy = pythonWith('numpy')
describe.skipIf(numpy.absent)(`NumPy${numpy.note}`, () => {
  const kinds = ['f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', '?']
  const write = `
import numpy as np, itertools, os
arrays, expected = {}, {}
for kind, order, fortran, shape in itertools.product(argument['kinds'], '<>', [False, True], [(), (3,), (2, 3), (2, 0), (4, 3, 2)]):
    numbers = (np.arange(int(np.prod(shape))) * 37 % 100 - (0 if kind[0] in 'u?' else 50)) / (4 if kind[0] == 'f' else 1)
    array = numbers.reshape(shape).astype(order + kind)
    array = np.asfortranarray(array) if fortran else array
    name = f'{kind}{order}{fortran}{"x".join(map(str, shape))}'.replace('?', 'bool').replace('<', 'little').replace('>', 'big')
    arrays[name] = array
    expected[name] = [list(array.shape), [float(value) for value in array.flatten(order='C')], kind]
for version in [1, 2, 3]:
    with open(f"{argument['folder']}/v{version}.npy", 'wb') as file:
        np.lib.format.write_array(file, arrays['f4bigTrue4x3x2'], version=(version, 0))
np.savez(argument['folder'] + '/stored.npz', **arrays)
np.savez_compressed(argument['folder'] + '/deflated.npz', **arrays)
print(json.dumps(expected))`

  test('writes every type, order and shape; we read them', async () => {
    const expected = runPython(write, { folder, kinds }) as Record<string, [number[], number[], string]>
    expect(Object.keys(expected).length).toBe(kinds.length * 2 * 2 * 5)
    for (const file of ['stored.npz', 'deflated.npz']) {
      const read = await readNpz(join(folder, file))
      expect([...read.keys()]).toEqual(Object.keys(expected))
      for (const [name, [shape, values, kind]] of Object.entries(expected)) {
        const found = read.get(name) as Tensor
        expect([name, found.dtype, found.shape]).toEqual([name, ours[kind] ?? 'int64', shape])
        expect([name, Array.from(await found.data(), Number)]).toEqual([name, values])
      }
    }
    for (const version of [1, 2, 3]) {
      const [shape, values] = expected['f4bigTrue4x3x2'] as [number[], number[], string]
      const read = await readNpy(join(folder, `v${version}.npy`))
      expect([read.shape, Array.from(await read.data(), Number)]).toEqual([shape, values])
    }
  })

  test.each([false, true])('reads what we write, deflated: %s', async (compress) => {
    await writeNpz(path, tensors(), { compress })
    await writeNpy(join(folder, 'one.npy'), tensors()['weight'] as Tensor)
    const read = runPython(
      `
import numpy as np
with np.load(argument['path']) as file:
    arrays = {name: file[name] for name in file.files}
arrays['one'] = np.load(argument['folder'] + '/one.npy')
print(json.dumps({name: [array.dtype.str, list(array.shape), array.tobytes().hex()] for name, array in arrays.items()}))`,
      { folder, path },
    )
    const expected = await Promise.all(
      Object.entries({ ...tensors(), one: tensors()['weight'] as Tensor }).map(async ([name, value]) => {
        const { buffer } = await value.data()
        return [name, [descriptions[value.dtype], value.shape, Buffer.from(buffer).toString('hex')]] as const
      }),
    )
    expect(read).toEqual(Object.fromEntries(expected))
  })

  test('refuses of it what no tensor holds', async () => {
    runPython(
      `
import numpy as np
arrays = {'complex': np.zeros(2, 'c8'), 'text': np.array(['a']), 'record': np.zeros(2, [('x', 'f4'), ('y', 'i4')])}
np.savez(argument['folder'] + '/odd.npz', **arrays)
np.save(argument['folder'] + '/object.npy', np.array([{}], dtype=object), allow_pickle=True)
np.save(argument['folder'] + '/large.npy', np.array([2**63], dtype='u8'))
print('null')`,
      { folder },
    )
    for (const name of ['complex', 'text', 'record']) {
      await expect(readNpz(join(folder, 'odd.npz'), { names: [name] })).rejects.toMatchObject({
        code: 'ERR_UNSUPPORTED',
        message: expect.stringContaining(`array "${name}"`),
      })
    }
    await expect(readNpy(join(folder, 'object.npy'))).rejects.toMatchObject({ hint: expect.stringMatching(/pickle/) })
    await expect(readNpy(join(folder, 'large.npy'))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('9223372036854775808'),
    })
  })
})

describe('a wrong .npy file is an error that names it', () => {
  const header = (text: string, data = 8) =>
    Buffer.concat([
      Buffer.from('\x93NUMPY\x01\x00', 'latin1'),
      Buffer.from([text.length, 0]),
      Buffer.from(text),
      Buffer.alloc(data),
    ])
  test.each<[string, Uint8Array, string, RegExp]>([
    ['nothing', Buffer.alloc(0), 'ERR_DATA', /0 bytes are too few/],
    ['another format', Buffer.from('PK\x03\x04 and more'), 'ERR_DATA', /no .npy file/],
    ['a later version', Buffer.from('\x93NUMPY\x04\x00\x00\x00\x00\x00', 'latin1'), 'ERR_DATA', /version 4/],
    ['a cut header', header("{'descr'").subarray(0, 12), 'ERR_DATA', /a header of 8 bytes in 12/],
    ['a header of 4 GiB', Buffer.from('\x93NUMPY\x02\x00\xff\xff\xff\xff', 'latin1'), 'ERR_DATA', /4294967295/],
    ['no literal', header('descr: <f4'), 'ERR_DATA', /malformed/],
    ['a missing key', header("{'descr': '<f4', 'shape': (2,)}"), 'ERR_DATA', /malformed/],
    [
      'a repeated key',
      header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"),
      'ERR_DATA',
      /malformed/,
    ],
    ['a negative size', header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), 'ERR_DATA', /malformed/],
    [
      'too little data',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}"),
      'ERR_DATA',
      /has 8 bytes of data.*\[3\] needs 12/,
    ],
    [
      'too much data',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': ()}"),
      'ERR_DATA',
      /has 8 bytes of data.*needs 4/,
    ],
    [
      'a type that lies',
      header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
      'ERR_DATA',
      /float64.*needs 16/,
    ],
    [
      'sizes whose product overflows',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740991, 9007199254740991)}"),
      'ERR_DATA',
      /needs/,
    ],
    ['an unknown type', header("{'descr': '<q4', 'fortran_order': False, 'shape': (2,)}"), 'ERR_UNSUPPORTED', /'<q4'/],
  ])('%s', async (_, bytes, code, message) => {
    await writeFile(path, bytes)
    await expect(readNpy(path)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    await expect(readNpy(path)).rejects.toThrow(path)
  })

  test('one that is not there, and a folder', async () => {
    await expect(readNpy(path)).rejects.toMatchObject({ code: 'ERR_DATA' })
    await expect(readNpz(path)).rejects.toMatchObject({ code: 'ERR_DATA' })
    await expect(readNpy(folder)).rejects.toMatchObject({ code: 'ERR_DATA' })
    await expect(readNpz(folder)).rejects.toMatchObject({ code: 'ERR_DATA' })
  })
})

describe('damage', () => {
  test.each(['.npy', '.npz stored', '.npz deflated'])(
    '250 mutations of a %s file: an error with a code, or an array as the header says',
    async (kind) => {
      if (kind === '.npy') await writeNpy(path, tensor(Float32Array.from({ length: 6 }), { shape: [2, 3] }))
      else await writeNpz(path, { a: tensor([1, 2, 3]), b: full([100], 0) }, { compress: kind.endsWith('deflated') })
      const whole = await readFile(path)
      const outcomes: Array<string | undefined> = []
      for (let seed = 0; seed < 250; seed += 1) {
        await writeFile(path, mutated(whole, new Generator(seed)))
        outcomes.push(await outcomeOf(kind === '.npy' ? readNpy(path) : readNpz(path)))
      }
      expect(outcomes.filter((outcome) => outcome === 'read' || outcome === 'ERR_UNSUPPORTED').length).toBeGreaterThan(
        10,
      )
      expect(outcomes.filter((outcome) => outcome === 'ERR_DATA').length).toBeGreaterThan(100)
      expect([...new Set(outcomes)].filter((one) => !/^(read|ERR_DATA|ERR_UNSUPPORTED)$/.test(one ?? ''))).toEqual([])
    },
  )

  test('of data in an archive is told by its checksum', async () => {
    await writeNpz(path, { a: full([1000], 1) })
    const bytes = await readFile(path)
    bytes[2000] = (bytes[2000] as number) ^ 4
    await writeFile(path, bytes)
    await expect(readNpz(path)).rejects.toMatchObject({ message: expect.stringMatching(/array "a".*checksum/) })
  })
})

const ours: Record<string, string> = { f2: 'float16', f4: 'float32', f8: 'float64', u1: 'uint8', '?': 'bool' }
const descriptions: Record<string, string> = {
  float32: '<f4',
  float16: '<f2',
  float64: '<f8',
  int64: '<i8',
  uint8: '|u1',
  bool: '|b1',
}

async function expectSame(found: Tensor, value: Tensor): Promise<void> {
  expect([found.dtype, found.shape]).toEqual([value.dtype, value.shape])
  expect(await found.data()).toEqual(await value.data())
}

async function outcomeOf(reading: Promise<Tensor | Map<string, Tensor>>): Promise<string | undefined> {
  try {
    const read = await reading
    for (const one of read instanceof Map ? read.values() : [read]) {
      if ((await one.data()).length !== one.numel) return 'wrong length'
    }
    return 'read'
  } catch (error) {
    return errorCode(error) ?? String(error)
  }
}

/** One or two changes: a bit, a byte, a piece cut out or repeated. */
function mutated(whole: Uint8Array, generator: Generator): Uint8Array {
  let bytes = Uint8Array.from(whole)
  for (let change = generator.integer(2); change >= 0; change -= 1) {
    const at = generator.integer(bytes.length)
    const length = generator.integer(16)
    const kind = generator.integer(4)
    if (kind === 0) bytes[at] = (bytes[at] as number) ^ (1 << generator.integer(8))
    else if (kind === 1) bytes[at] = generator.integer(256)
    else if (kind === 2) bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + length)])
    else bytes = Uint8Array.from([...bytes.subarray(0, at + length), ...bytes.subarray(at)])
  }
  return bytes
}
