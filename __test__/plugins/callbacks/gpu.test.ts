/** Every callback in one run, on the CPU and on a GPU: the same numbers but for rounding. Needs an adapter. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { gpuAdapters } from '../../../src/tensor/index.js'
import { fixtures, root, spt } from '../../cli/process.js'

const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

/** With what each needs beside its defaults to do something within 20 steps. */
const callbacks: Record<string, object> = {
  'attention-visualizer': { layer: 'backbone.blocks.1.attn' },
  checkpoint: { monitor: 'eval/knn_top1' },
  'collapse-detector': { every_n_steps: 5 },
  'early-stop': { monitor: 'eval/knn_top1' },
  'effective-rank': { queue_length: 64 },
  'embedding-cache': { module_names: ['backbone.blocks.0'] },
  'embedding-writer': {},
  'epoch-milestones': { milestones: { 0: 0 }, monitor: 'eval/knn_top1' },
  'image-retrieval': {},
  'latent-viz': {},
  'learning-rate-monitor': {},
  lidar: { queue_length: 64 },
  'model-summary': {},
  'online-knn': { queue_length: 200 },
  'online-probe': { probe: 'mlp' },
  'pca-token-visualizer': { features: 'backbone.blocks.0' },
  'rank-me': { queue_length: 64 },
  report: {},
  'teacher-student': {},
  'throughput-monitor': {},
  'untrained-baseline': { also_trained: true },
  'weight-decay-updater': {},
}

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'spt-gpu-callbacks-'))))
afterAll(() => rm(folder, { recursive: true }))

test('all of them are in the list', async () => {
  const files = (await readdir(join(root, 'plugins', 'callbacks'))).filter((file) => file.endsWith('.ts'))
  expect(Object.keys(callbacks)).toEqual(files.map((file) => file.slice(0, -3)).toSorted())
})

/** The metrics of the run's summary. */
async function metricsOn(device: string): Promise<Record<string, number>> {
  const used = Object.entries(callbacks).map(([type, options]) => ({ type, ...options }))
  const { directory, output, status } = await spt([
    'run',
    join(fixtures, 'runs', 'simclr.yaml'),
    `cache_dir=${join(folder, device)}`,
    `device=${device}`,
    'trainer.max_steps=20',
    'backbone={type: vit-tiny, image_size: 32, patch_size: 8, depth: 2}',
    `callbacks=${JSON.stringify(used)}`,
  ])
  if (status !== 0) throw new Error(output)
  const summary = JSON.parse(await readFile(join(directory, 'summary.json'), 'utf8')) as { metrics: never }
  return summary.metrics
}

test.runIf(there)(
  'measure on a GPU what they measure on the CPU',
  async () => {
    const [here, gpu] = [await metricsOn('cpu'), await metricsOn('gpu')]
    expect(Object.keys(gpu).toSorted()).toEqual(Object.keys(here).toSorted())
    for (const [name, value] of Object.entries(here)) {
      if (/throughput|seconds/.test(name)) continue
      // Of 18 images, up to three are another's neighbours after 20 steps of other rounding.
      const tolerance = /top1|top5|_r@|map|milestones|neighbours/.test(name) ? 3.1 / 18 : 0.05 * Math.abs(value) + 1e-6
      expect(Math.abs((gpu[name] as number) - value), `${name}: ${gpu[name]}, on the CPU ${value}`).toBeLessThan(
        tolerance,
      )
    }
  },
  300_000,
)
