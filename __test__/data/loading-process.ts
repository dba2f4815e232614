/**
 * Loads batches and notes each with a checksum, and after each where it stands: a process to be killed at any moment and
 * started again. Usage: tsx loading-process.ts FOLDER
 */
import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { disposeBatch } from '../../src/data/collate.js'
import { type Batch, DataLoader, type LoaderState } from '../../src/data/data-loader.js'
import { WebDataset } from '../../src/data/webdataset.js'
import type { Tensor } from '../../src/tensor/index.js'

export const epochs = 6

const containers = fileURLToPath(new URL('../fixtures/data/containers', import.meta.url))

/** Shards in random order, three views by crops, one image that cannot be read. */
export async function makeLoader(numWorkers: number): Promise<DataLoader> {
  const shards = await WebDataset.open({ shards: [join(containers, 'shard-{000..002}.tar')] })
  const crop = {
    type: 'random-resized-crop',
    size: [8, 8],
    scale: [0.2, 1],
    ratio: [0.75, 1.33],
    interpolation: 'bilinear',
    antialias: true,
  } as const
  const transform = { views: [{ steps: [crop] }, { steps: [crop] }, { steps: [crop] }] }
  const dataset = {
    name: 'shards',
    length: shards.length,
    shuffled: (seed: number, epoch: number) => shards.shuffled(seed, epoch),
    get: (index: number) => (index === 4 ? Promise.reject(new Error('cannot be read')) : shards.get(index)),
  }
  return new DataLoader({ dataset, batchSize: 1, shuffle: true, seed: 9, numWorkers, transform, onError: 'skip' })
}

/** What a batch holds, as one word. Its tensors are freed. */
export async function checksum(batch: Batch): Promise<string> {
  const hash = createHash('sha256')
  const tensors = [batch.index, batch.label as Tensor, ...(batch.views ?? []).map((view) => view.image)]
  for (const tensor of tensors) hash.update(new Uint8Array(((await tensor.data()) as Float32Array).buffer))
  disposeBatch(batch)
  return hash.digest('hex').slice(0, 16)
}

async function run(folder: string): Promise<void> {
  const [state, lines] = [join(folder, 'state.json'), join(folder, 'lines.txt')]
  const loader = await makeLoader(4)
  if (existsSync(state)) loader.load(JSON.parse(readFileSync(state, 'utf8')) as LoaderState)
  for (let epoch = loader.state().epoch; epoch < epochs; epoch++) {
    loader.setEpoch(epoch)
    for await (const batch of loader) {
      const at = loader.state()
      appendFileSync(lines, `${at.epoch} ${at.batch} ${await checksum(batch)}\n`)
      // As a checkpoint: whole or not there.
      writeFileSync(`${state}.tmp`, JSON.stringify(at))
      renameSync(`${state}.tmp`, state)
      await sleep(20)
    }
  }
}

const [folder] = process.argv.slice(2)
if (process.argv[1]?.endsWith('loading-process.ts') === true && folder !== undefined) await run(folder)
