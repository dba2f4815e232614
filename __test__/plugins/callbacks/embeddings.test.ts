/** Callbacks that hand on, write down, search and draw embeddings. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AttentionVisualizer } from '../../../plugins/callbacks/attention-visualizer.js'
import { EmbeddingCache } from '../../../plugins/callbacks/embedding-cache.js'
import { EmbeddingWriter } from '../../../plugins/callbacks/embedding-writer.js'
import { ImageRetrieval } from '../../../plugins/callbacks/image-retrieval.js'
import { LatentViz } from '../../../plugins/callbacks/latent-viz.js'
import { OnlineProbe } from '../../../plugins/callbacks/online-probe.js'
import { PCATokenVisualizer } from '../../../plugins/callbacks/pca-token-visualizer.js'
import { readNpz, writeParquet } from '../../../src/interchange/index.js'
import * as nn from '../../../src/nn/index.js'
import { manualSeed, randn, tensor, type Tensor } from '../../../src/tensor/index.js'
import { Module, Trainer, viewsOf, type Callback } from '../../../src/train/index.js'
import { flowers, smallSimclr } from '../../train/setup.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-embeddings-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** A vision transformer with 16 patches; its embedding is the class token. */
function smallVit() {
  manualSeed(0)
  return new Module({
    backbone: new nn.VisionTransformer({ imgSize: 16, patchSize: 4, embedDim: 12, depth: 2, numHeads: 3 }),
    forward(batch) {
      const [view] = viewsOf(batch)
      const embedding = this.backbone.forward(view!.image)
      return { loss: embedding.square().mean(), embedding, label: view!.label }
    },
    optim: { optimizer: { type: 'SGD', lr: 0.01 }, scheduler: null },
  })
}

async function fit(module: Module, callbacks: Callback[], options: object = {}): Promise<Trainer> {
  const trainer = new Trainer({ maxEpochs: 1, callbacks, logger: false, ...options })
  trainer.runDirectory = folder
  await trainer.fit(module as never, await flowers())
  return trainer
}

test('inner layers become outputs under their names, and probes of every kind learn from them', async () => {
  const seen: number[][] = []
  const cache = new EmbeddingCache({ moduleNames: ['backbone.blocks.0', 'backbone.norm'] })
  const watch: Callback = {
    name: 'watch',
    onTrainBatchEnd: ({ outputs }) => void seen.push([...(outputs['backbone.blocks.0'] as Tensor).shape]),
  }
  const probes = (['linear', 'mlp', 'attentive'] as const).map(
    (kind) => new OnlineProbe({ name: kind, input: 'backbone.norm', probe: () => nn.probe(kind, 12, 3) }),
  )
  const module = smallVit()
  const trainer = await fit(module, [cache, ...probes, watch])
  expect(seen[0]).toEqual([4, 17, 12])
  for (const { name } of probes) expect(trainer.latest.get(`eval/${name}_top1`)).toBeGreaterThanOrEqual(0)
  // The hooks are gone: a forward outside of a run keeps nothing.
  expect(Object.hasOwn(module.getSubmodule('backbone.norm'), 'forward')).toBe(false)
  await expect(fit(smallVit(), [new EmbeddingCache({ moduleNames: ['backbone.blokcs'] })])).rejects.toThrow(/blocks/)
})

test('an attentive probe weighs tokens as plain loops do', async () => {
  manualSeed(4)
  const head = new nn.MultiHeadAttentiveProbe(6, 2, { numHeads: 2 })
  head.norm = new nn.LayerNorm(6, { eps: 0 })
  const x = randn([1, 4, 6])
  const [values, query, weight, bias] = await Promise.all(
    [x, head.query, head.fc.weight, head.fc.bias!].map(async (one) => Array.from(await one.data(), Number)),
  )
  const rows = [0, 1, 2, 3].map((token) => {
    const row = values!.slice(token * 6, token * 6 + 6)
    const mean = row.reduce((a, b) => a + b) / 6
    const deviation = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 6)
    return row.map((value) => (value - mean) / deviation)
  })
  const pooled = [0, 1].flatMap((head) => {
    const scores = rows.map((row) => [0, 1, 2].reduce((sum, i) => sum + row[3 * head + i]! * query![3 * head + i]!, 0))
    const weights = scores.map((score) => Math.exp(score))
    const total = weights.reduce((a, b) => a + b)
    return [0, 1, 2].map((i) =>
      rows.reduce((sum, row, token) => sum + (weights[token]! / total) * row[3 * head + i]!, 0),
    )
  })
  const expected = [0, 1].map((k) => bias![k]! + pooled.reduce((sum, value, i) => sum + value * weight![k * 6 + i]!, 0))
  const found = Array.from(await head.forward(x).data(), Number)
  for (const k of [0, 1]) expect(found[k]).toBeCloseTo(expected[k]!, 5)
  expect(() => head.forward(randn([1, 4, 5]))).toThrow(/width 6/)
  expect(() => new nn.MultiHeadAttentiveProbe(6, 2, { numHeads: 4 })).toThrow(/divisor/)
})

test('embeddings are written for each validation, with the place of each row', async () => {
  const writer = new EmbeddingWriter({ names: ['embedding', 'label'], everyKEpochs: 2 })
  await fit(smallSimclr(), [writer], { maxEpochs: 3 })
  expect((await readdir(join(folder, 'embeddings'))).toSorted()).toEqual([
    'validation_epoch=1.npz',
    'validation_epoch=2.npz',
  ])
  const written = await readNpz(join(folder, 'embeddings', 'validation_epoch=2.npz'))
  expect(written.get('embedding')?.shape).toEqual([18, 8])
  expect(written.get('label')?.shape).toEqual([18])
  expect(Array.from((await written.get('index')!.data()) as BigInt64Array, Number)).toEqual([...Array(18).keys()])
  await fit(smallSimclr(), [new EmbeddingWriter({ names: ['embedding'], during: ['train'], path: 'train' })])
  const rows = await readNpz(join(folder, 'train', 'train_epoch=0.npz'))
  expect(rows.get('embedding')?.shape).toEqual([32, 8]) // 4 batches of 4 images in two views
  expect(rows.get('index')?.shape).toEqual([16])
})

test('as Parquet they are a row a sample, as another reader finds them; other shapes are refused', async () => {
  const names = ['embedding', 'label']
  await fit(smallSimclr(), [new EmbeddingWriter({ names })])
  await fit(smallSimclr(), [new EmbeddingWriter({ names, format: 'parquet' })])
  const arrays = await readNpz(join(folder, 'embeddings', 'validation_epoch=0.npz'))
  const file = await asyncBufferFromFile(join(folder, 'embeddings', 'validation_epoch=0.parquet'))
  const rows = await parquetReadObjects({ file })
  const [embedding, label] = await Promise.all(names.map(async (name) => [...(await arrays.get(name)!.data())]))
  expect(rows.flatMap((row) => row['embedding'] as number[])).toEqual(embedding)
  expect(rows.map((row) => row['label'] as bigint)).toEqual(label)
  expect(rows.map((row) => Number(row['index']))).toEqual([...Array(18).keys()])
  const path = join(folder, 'more.parquet')
  const kinds = { flag: tensor([1, 0]).to('bool'), byte: tensor([1, 255]).to('uint8'), wide: randn([2, 3]) }
  await writeParquet(path, { ...kinds, double: kinds.wide.to('float64') })
  const [first] = await parquetReadObjects({ file: await asyncBufferFromFile(path) })
  const wide = [...((await kinds.wide.data()) as Float32Array)].slice(0, 3)
  expect(first).toEqual({ flag: true, byte: 1, wide, double: wide })
  await expect(writeParquet(path, { map: randn([2, 3, 4]) })).rejects.toThrow(/"map" is \[2, 3, 4\]/)
  await expect(writeParquet(path, { a: randn([2]), b: randn([3]) })).rejects.toThrow(/"b" is \[3\], expected \[2\]/)
  await expect(writeParquet(path, { a: randn([2]).to('bfloat16') })).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' })
})

test('retrieval: perfect where every class has a direction of its own, and by columns where they are given', async () => {
  const oneHot: Callback = {
    name: 'one_hot',
    forward: ({ outputs }) => void (outputs['known'] = (outputs['label'] as Tensor).oneHot(3).to('float32')),
  }
  const perfect = await fit(smallSimclr(), [oneHot, new ImageRetrieval({ name: 'r', input: 'known', topK: [1, 2] })])
  expect(perfect.latest.get('eval/r_map')).toBe(1)
  expect(perfect.latest.get('eval/r_r@1')).toBe(1)

  // Images of a class are the answers of its first image: of 15 others, 5 have the direction of the query, so all are found first.
  const columns: Callback = {
    name: 'columns',
    onValidationBatchEnd: ({ batch }) =>
      void Object.assign(batch, {
        query: Array.from({ length: 6 }, (_, i) => i === 0),
        // Batches of the validation are the classes in order: 6 images each. The last image belongs to nobody.
        answers: Array.from({ length: 6 }, () => [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17]),
      }),
  }
  const options = { name: 'c', input: 'known', queryCol: 'query', retrievalCol: 'answers', topK: [1] }
  const found = await fit(smallSimclr(), [oneHot, columns, new ImageRetrieval(options)])
  expect(found.latest.get('eval/c_r@1')).toBe(1)
  expect(() => new ImageRetrieval({ name: 'c', queryCol: 'query' })).toThrow(/belong together/)
})

test('pictures of patch tokens, of attention and a map of the embedding are PNG files of every epoch', async () => {
  const cache = new EmbeddingCache({ moduleNames: ['backbone.norm'] })
  const pca = new PCATokenVisualizer({ name: 'pca', features: 'backbone.norm', maxImages: 3 })
  const attention = new AttentionVisualizer({ name: 'attention', layer: 'backbone.blocks.1.attn', maxImages: 3 })
  const map = new LatentViz({ name: 'map', inputDim: 12, queueLength: 12, kNeighbors: 3, updateInterval: 1 })
  const trainer = await fit(smallVit(), [cache, pca, attention, map], { maxEpochs: 2 })
  for (const name of ['pca', 'attention', 'map']) {
    const files = (await readdir(join(folder, 'pictures', name))).filter((file) => file.endsWith('.png'))
    expect(files.toSorted()).toEqual(['epoch_0000.png', 'epoch_0001.png'])
    const bytes = await readFile(join(folder, 'pictures', name, 'epoch_0001.png'))
    expect([...bytes.subarray(1, 4)]).toEqual([...Buffer.from('PNG')])
  }
  const places = await readNpz(join(folder, 'pictures', 'map', 'epoch_0001.npz'))
  expect(places.get('coordinates')?.shape).toEqual([12, 2])
  const [loss, attraction, repulsion] = ['loss', 'attraction_loss', 'repulsion_loss'].map(
    (part) => trainer.latest.get(`train/map_${part}`) ?? NaN,
  )
  expect(attraction).toBeGreaterThan(0)
  expect(loss).toBeCloseTo(attraction! + repulsion!, 5)
  expect(trainer.latest.get('queue/embedding_fill_pct')).toBe(100)
  await expect(fit(smallVit(), [new AttentionVisualizer({ name: 'a', layer: 'backbone.norm' })])).rejects.toThrow(
    /LayerNorm/,
  )
  const wrong = new PCATokenVisualizer({ name: 'p', features: 'embedding' })
  await expect(fit(smallVit(), [wrong])).rejects.toMatchObject({ code: 'ERR_SHAPE' })
})

test('a map changes no number of the run', async () => {
  const weights = async (callbacks: Callback[]): Promise<unknown> => {
    const module = smallVit()
    await fit(module, callbacks, { maxEpochs: 2 })
    const own = [...module.stateDict()].filter(([name]) => !name.startsWith('callbacks_'))
    return Promise.all(own.map(async ([name, value]) => [name, await value.data()]))
  }
  const map = new LatentViz({ name: 'map', inputDim: 12, queueLength: 12, kNeighbors: 3, updateInterval: 1 })
  expect(await weights([map])).toEqual(await weights([]))
})

test('attention weights are those the layer uses', async () => {
  manualSeed(2)
  const layer = new nn.Attention(8, { numHeads: 2 })
  const x = randn([2, 5, 8])
  const weights = layer.weights(x) // [2, 2, 5, 5]
  const sums = Array.from(await weights.sum(-1).data(), Number)
  for (const sum of sums) expect(sum).toBeCloseTo(1, 6)
  const values = layer.qkv.forward(x).narrow(2, 16, 8).reshape([2, 5, 2, 4]).transpose(1, 2)
  const out = layer.proj.forward(weights.matmul(values).transpose(1, 2).reshape([2, 5, 8]))
  const difference = await out.sub(layer.forward(x)).abs().amax().item()
  expect(difference).toBeLessThan(1e-5)
  expect(layer.weights(x, { queries: 1 }).shape).toEqual([2, 2, 1, 5])
})
