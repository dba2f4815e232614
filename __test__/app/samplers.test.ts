/** Samplers and collators named in a configuration: what order and batches a run gets, and which mistakes are refused. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/app/config.js'
import { runContainer, services } from '../../src/app/run.js'
import { disposeBatch, type Batch, type DataLoader } from '../../src/data/index.js'
import type { Tensor } from '../../src/tensor/index.js'
import { temporaryFolder } from '../data/fixtures.js'

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url))
const folder = await temporaryFolder()

/** The loader of the training part with these lines in it. */
async function loaderOf(lines: string, common = ''): Promise<DataLoader> {
  const file = join(folder, 'data.yaml')
  const transform = '{type: multi-view, copies: 2, steps: [{type: resize, size: [8, 8]}]}'
  await writeFile(
    file,
    `seed: 3
data:
  dataset: {type: image-folder, root: ${fixtures}/data/photos}
${common}
  train:
    transform: ${transform}
    ${lines}
backbone: ${fixtures}/plugins/tiny-backbone.ts
method: {type: ${fixtures}/plugins/tiny-method.ts, length: 2}
`,
  )
  const run = runContainer(await loadConfig(file), { path: folder, id: '', lastCheckpoint: '' })
  return (await run.get(services.data)).train as DataLoader
}

async function first(loader: DataLoader): Promise<{ batch: Batch; index: number[]; label: number[] }> {
  for await (const batch of loader) {
    const numbers = async (tensor?: Tensor) => Array.from((await tensor!.data()) as BigInt64Array, Number)
    return { batch, index: await numbers(batch.index), label: await numbers(batch.label) }
  }
  throw new Error('no batch')
}

test('repeated-random: an image several times in a row, by the seed of the run or one of its own', async () => {
  const loader = await loaderOf('sampler: {type: repeated-random, n_views: 3, pass_view_idx: true}', '  batch_size: 6')
  const { batch, index } = await first(loader)
  expect(index).toEqual([index[0], index[0], index[0], index[3], index[3], index[3]])
  expect(Array.from((await (batch['viewIdx'] as Tensor).data()) as Float32Array)).toEqual([0, 1, 2, 0, 1, 2])
  disposeBatch(batch)
  const other = await first(
    await loaderOf('sampler: {type: RepeatedRandomSampler, n_views: 3, seed: 4}', '  batch_size: 6'),
  )
  expect(other.index).not.toEqual(index)
})

test('supervised-batch as Hydra writes it: whole batches, whatever batch_size stands beside', async () => {
  const target = 'stable_pretraining.data.sampler.SupervisedBatchSampler'
  const loader = await loaderOf(
    `batch_sampler: {_target_: ${target}, _partial_: true, batch_size: 4, n_views: 2}`,
    '  batch_size: 3',
  )
  const { batch, index, label } = await first(loader)
  expect(index).toHaveLength(4)
  expect([label[0], label[2]]).toEqual([label[1], label[3]])
  expect(index[0]).not.toBe(index[1])
  disposeBatch(batch)
})

test('the collator: views in a row, and the relation of their labels', async () => {
  const { batch, label } = await first(await loaderOf('collate: {type: collator, g_from: label}', '  batch_size: 4'))
  expect(batch.image?.shape).toEqual([8, 3, 8, 8])
  expect(label).toHaveLength(8)
  const relation = Array.from(await (batch['G'] as Tensor).data(), Number)
  expect(relation).toEqual(label.flatMap((one) => label.map((other) => Number(one === other))))
  disposeBatch(batch)
})

test.each([
  ['sampler: {type: random-batch, batch_size: 2}', /whole batches/, /batch_sampler/],
  ['batch_sampler: sequential', /single samples/, /under sampler/],
  ['{sampler: random, shuffle: true}', /shuffle or a sampler/, /^/],
  ['{batch_sampler: {type: random-batch, batch_size: 2}, batch_size: 4}', /batchSampler without/, /^/],
  ['sampler: {type: repeated-random, replacement: true}', /replacement/, /^/],
  ['sampler: repeated-randm', /repeated-randm/, /^/],
  ['batch_sampler: {type: supervised-batch, batch_size: 5}', /multiple of nViews/, /^/],
])('%s is refused', async (lines, message, hint) => {
  const written = lines.startsWith('{')
    ? lines.slice(1, -1).replaceAll(/, (?=shuffle|batch_size: 4)/g, '\n    ')
    : lines
  const error = (await loaderOf(written).catch((cause: unknown) => cause)) as { message: string; hint?: string }
  expect(error.message).toMatch(message)
  expect(error.hint ?? '').toMatch(hint)
})
