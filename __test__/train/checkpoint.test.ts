import { mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadCheckpoint, loadWeights, saveCheckpoint } from '../../src/train/checkpoint.js'
import { writeSafetensors, tensor, type Tensor } from '../../src/tensor/index.js'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-checkpoint-'))
  path = join(folder, 'last.ckpt')
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const weights = (): Map<string, Tensor> =>
  new Map([
    ['backbone.conv1.weight', tensor([0.1, -2, 3e-38, Infinity])],
    ['backbone.bn1.num_batches_tracked', tensor(BigInt64Array.of(7n))],
    ['mask', tensor(Uint8Array.of(1, 0, 1))],
  ])

const state = () => ({
  trainer: { step: 12, best: -Infinity },
  optimizers: { main: { buffers: [tensor([1, 2]), tensor(Float64Array.of(1 / 3))] } },
})

describe('a checkpoint', () => {
  test('comes back bit for bit', async () => {
    await saveCheckpoint(path, { weights: weights(), state: state() })
    const back = await loadCheckpoint(path)
    expect([...back.weights.keys()]).toEqual([...weights().keys()])
    for (const [name, value] of weights()) {
      const found = back.weights.get(name) as Tensor
      expect([found.dtype, found.shape]).toEqual([value.dtype, value.shape])
      expect(await found.data()).toEqual(await value.data())
    }
    const { trainer, optimizers } = back.state as unknown as ReturnType<typeof state>
    expect(trainer).toEqual({ step: 12, best: -Infinity })
    expect(await optimizers.main.buffers[1]?.data()).toEqual(Float64Array.of(1 / 3))
  })

  test('is a safetensors file whose weights have their own names', async () => {
    await saveCheckpoint(path, { weights: weights(), state: state() })
    const file = await readFile(path)
    const header = JSON.parse(file.subarray(8, 8 + Number(file.readBigUInt64LE())).toString()) as Record<
      string,
      unknown
    >
    expect(header['backbone.conv1.weight']).toMatchObject({ dtype: 'F32', shape: [4] })
    expect(header['mask']).toMatchObject({ dtype: 'U8', shape: [3] })
    expect([...(await loadWeights(path)).keys()].toSorted()).toEqual([...weights().keys()].toSorted())
  })

  test('replaces the old one and leaves nothing beside it', async () => {
    await saveCheckpoint(path, { weights: weights(), state: state() })
    await saveCheckpoint(path, { weights: new Map([['w', tensor([5])]]), state: {} })
    expect([...(await loadCheckpoint(path)).weights.keys()]).toEqual(['w'])
    expect(await readdir(folder)).toEqual(['last.ckpt'])
  })

  test('that cannot be written leaves the old one whole and nothing beside it', async () => {
    await saveCheckpoint(path, { weights: weights(), state: state() })
    const before = await readFile(path)
    const broken = tensor([1, 2, 3])
    broken.dispose()
    await expect(
      saveCheckpoint(path, {
        state: {},
        weights: new Map([
          ['a', tensor([1])],
          ['b', broken],
        ]),
      }),
    ).rejects.toThrow(/dispos|freed/i)
    expect(await readFile(path)).toEqual(before)
    expect(await readdir(folder)).toEqual(['last.ckpt'])
  })
})

describe('a damaged file is refused with ERR_CHECKPOINT', () => {
  const damages: Array<[string, (path: string) => Promise<void>]> = [
    ['missing', (file) => rm(file)],
    ['empty', (file) => truncate(file, 0)],
    ['cut in its header', (file) => truncate(file, 100)],
    ['cut in its data', async (file) => truncate(file, (await readFile(file)).length - 1)],
    ['no safetensors file', (file) => writeFile(file, 'weights weights weights')],
    [
      'with one bit flipped in its data',
      async (file) => {
        const bytes = await readFile(file)
        bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
        await writeFile(file, bytes)
      },
    ],
    [
      'with a header length beyond the file',
      async (file) => {
        const handle = await open(file, 'r+')
        await handle.write(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), 0, 8, 0)
        await handle.close()
      },
    ],
  ]

  test.each(damages)('%s', async (_name, damage) => {
    await saveCheckpoint(path, { weights: weights(), state: state() })
    await damage(path)
    await expect(loadCheckpoint(path)).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringContaining(path),
    })
  })

  test('weights without the state of a run cannot be resumed from, but read as weights', async () => {
    await writeSafetensors(path, weights())
    await expect(loadCheckpoint(path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
    expect((await loadWeights(path)).size).toBe(3)
  })
})
