/** `spt export`: what a run learnt, as files that other programs read. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startRun } from '../../src/app/run.js'
import { main } from '../../src/cli/program.js'
import { nn, noGrad, randn, readSafetensors, type Tensor, writeNpz } from '../../src/index.js'
import { pythonWith, runPython } from '../interchange/python.js'

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url))

let folder: string
let run: string
const out: string[] = []
const err: string[] = []
beforeAll(async () => {
  vi.spyOn(console, 'log').mockImplementation((line: string) => void out.push(line))
  vi.spyOn(console, 'error').mockImplementation((line: string) => void err.push(line))
  folder = await mkdtemp(join(tmpdir(), 'spt-export-'))
  const config = join(folder, 'tiny.yaml')
  await writeFile(
    config,
    `seed: 3
cache_dir: ${folder}
data:
  batch_size: 4
  train: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: simclr, size: 32}}
  val: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: evaluation, size: 24}}
backbone: ${fixtures}/runs/small-backbone.ts
method: {type: simclr, projector_dims: [8, 4]}
optimizer: {type: SGD, lr: 0.5}
logger: csv
trainer: {max_steps: 3}
`,
  )
  run = (await startRun(config)).runDirectory
})
afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

const spt = async (...args: string[]) => {
  const status = await main(args)
  return { status, out: out.splice(0).join('\n'), err: err.splice(0).join('\n') }
}

const backbone = async (): Promise<nn.Module> => {
  const module = new nn.Sequential(
    new nn.Conv2d(3, 16, 3, { stride: 2, padding: 1, bias: false }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
  )
  const { tensors } = await readSafetensors(join(run, 'checkpoints', 'last.ckpt'))
  const own = [...tensors].filter(([name]) => name.startsWith('backbone.'))
  module.loadStateDict(new Map(own.map(([name, value]) => [name.slice('backbone.'.length), value])))
  return module.eval()
}

test('the weights of the backbone alone, under their own names', async () => {
  const output = join(folder, 'weights.safetensors')
  const { status, out: said } = await spt('export', run, '--output', output)
  expect([status, said]).toEqual([0, expect.stringContaining('weights.safetensors: weights, from')])
  const { tensors, metadata } = await readSafetensors(output)
  const expected = (await backbone()).stateDict()
  expect([...tensors.keys()]).toEqual([...expected.keys()])
  for (const [name, value] of expected) expect(await tensors.get(name)?.data()).toEqual(await value.data())
  expect(metadata).toEqual({ format: 'pt', architecture: 'small' })
})

const runtime = pythonWith('numpy', 'onnxruntime')
describe.skipIf(runtime.absent)(`onnxruntime${runtime.note}`, () => {
  test('gives the embedding of the run, for images as it validates them', async () => {
    const output = join(folder, 'backbone.onnx')
    const checkpoint = join(run, 'checkpoints', 'last.ckpt')
    const { status, out: said } = await spt('export', checkpoint, '--format', 'onnx', '--output', output)
    expect([status, said]).toEqual([0, `${output}: ONNX model for images [batch, 3, 24, 24], from ${checkpoint}`])
    const images = randn([5, 3, 24, 24])
    const module = await backbone()
    const path = join(folder, 'images.npz')
    await writeNpz(path, { images, embedding: noGrad(() => module.forward(images)) as Tensor })
    const difference = runPython(
      `
import numpy as np, onnxruntime
stored = np.load(argument['path'])
given = onnxruntime.InferenceSession(argument['output']).run(None, {'input': stored['images']})[0]
print(float(np.abs(given - stored['embedding']).max()))`,
      { path, output },
    )
    expect(difference).toBeLessThan(1e-5)
  })
})

test('what is wrong is told', async () => {
  const output = join(folder, 'x.onnx')
  expect(await spt('export', join(folder, 'none'), '--output', output)).toMatchObject({
    status: 1,
    err: expect.stringMatching(/^error \[ERR_CHECKPOINT\] .*none: no checkpoint found\nhint: Give the folder of a run/),
  })
  expect((await spt('export', folder, '--output', output)).err).toMatch(/ERR_CHECKPOINT.*is not the folder of a run/)
  expect((await spt('export', run, '--output', join(folder, 'x.pt'))).err).toMatch(
    /--format: expected onnx or safetensors/,
  )
  expect((await spt('export', run, '--output', output, '--image', '3,32')).err).toMatch(/--image: expected channels/)
  expect((await spt('export', run, '--output', output, '--opset', '7')).err).toMatch(/opset: expected a whole number/)
  expect((await spt('export', run)).status).toBe(2)
  await expect(readFile(output)).rejects.toThrow('ENOENT')
})
