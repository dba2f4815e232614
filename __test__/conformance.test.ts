/** Every built-in plugin keeps the rules that third parties' plugins are held to. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { loadRegistry } from '../src/plugin/registry.js'
import { conformance, type ConformanceOptions } from 'stable-pretraining/testing'
import { smallMethods } from './plugins/small-methods.js'

const fixtures = fileURLToPath(new URL('fixtures/data', import.meta.url))

/** Few blocks of a vision transformer keep the same rules as all of them. */
const smallVit = { config: { image_size: 32, patch_size: 8, depth: 2 } }
const oneBlock = { config: { ...smallVit.config, depth: 1 } }

const clothes = { type: 'fashion-mnist', root: 'fashion-mnist', split: 'test' }

/** Options that have no default, what a plugin needs to be tried, and sizes at which it is tried in seconds. */
const given: Record<string, ConformanceOptions> = {
  ...smallMethods,
  'backbone vit-tiny': smallVit,
  'backbone vit-small': smallVit,
  'backbone vit-base': oneBlock,
  'backbone vit-large': oneBlock,
  'dataset image-folder': { config: { root: 'photos' }, root: fixtures },
  'dataset fashion-mnist': { config: { root: 'fashion-mnist', split: 'test' }, root: fixtures },
  'dataset idx': { config: { images: 'fashion-mnist/t10k-images-idx3-ubyte.gz' }, root: fixtures },
  'dataset cifar10': { config: { root: '.', files: ['photos-cifar10-layout.bin'] }, root: fixtures },
  'dataset manifest': { config: { path: 'containers/list.csv' }, root: fixtures },
  'dataset npz': { config: { path: 'containers/photos.npz' }, root: fixtures },
  'dataset parquet': { config: { files: 'containers/hub.parquet' }, root: fixtures },
  'dataset hugging-face': { config: { path: 'containers/repository' }, root: fixtures },
  'dataset webdataset': { config: { shards: 'containers/shard-{000..002}.tar' }, root: fixtures },
  'dataset concat': { config: { datasets: [clothes, clothes] }, root: fixtures },
  'dataset columns': { config: { dataset: clothes }, root: fixtures },
  'dataset subset': { config: { dataset: clothes, stop: 7 }, root: fixtures },
  'dataset random-split': { config: { dataset: clothes, lengths: [0.5, 0.5], part: 1 }, root: fixtures },
  'callback checkpoint': { config: { monitor: 'fit/loss' } },
  'callback early-stop': { config: { monitor: 'fit/loss' } },
  'callback epoch-milestones': { config: { milestones: { 0: 1e9 }, monitor: 'fit/loss', direction: 'min' } },
  'callback embedding-cache': { config: { module_names: ['backbone.3'] } },
  'callback attention-visualizer': { config: { layer: 'backbone.blocks.0.attn' }, transformer: true },
  'callback pca-token-visualizer': { config: { features: 'tokens' }, transformer: true },
  'part linear': { config: { in_features: 4, out_features: 3 } },
  'part batch-norm-1d': { config: { num_features: 4 } },
  'part sequential': { config: { layers: [{ type: 'linear', in_features: 4, out_features: 3 }, 'relu'] } },
  'part projector': { config: { dims: [4, 8, 3] } },
  'part mlp': { config: { in_channels: 4, hidden_channels: [8, 3] } },
  'part dino-head': { config: { in_features: 4, hidden_dim: 8, bottleneck_dim: 4, prototypes: 6 } },
  'scheduler cosine-annealing-warm-restarts': { config: { T_0: 5 } },
  'scheduler cyclic-lr': { config: { base_lr: 0.01, max_lr: 0.1, step_size_up: 4, cycle_momentum: false } },
  'scheduler multi-step-lr': { config: { milestones: [5, 10] } },
  'scheduler sequential-lr': { config: { schedulers: ['LinearLR', 'ExponentialLR'], milestones: [5] } },
  'scheduler chained-scheduler': { config: { schedulers: ['LinearLR', 'ExponentialLR'] } },
  'transform gaussian-blur': { config: { kernel_size: 3 } },
  'transform center-crop': { config: { size: 16 } },
  'transform random-crop': { config: { size: 16, padding: 4 } },
  'transform random-resized-crop': { config: { size: 16 } },
  'transform resize': { config: { size: 16 } },
  'transform normalize': { config: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2] } },
  'transform multi-view': { config: { copies: 2, steps: [{ type: 'random-resized-crop', size: 16 }] } },
  'transform pad': { config: { padding: 2 } },
  'transform random-posterize': { config: { bits: 3 } },
  'transform random-adjust-sharpness': { config: { sharpness_factor: 2 } },
  'transform random-rotation': { config: { degrees: 30 } },
  'transform random-affine': { config: { degrees: 10, translate: [0.1, 0.1], scale: [0.8, 1.2], shear: 5 } },
  'transform additive-gaussian': { config: { sigma: 0.1 } },
  'transform patch-masking': { config: { patch_size: 8 } },
  'transform random-mask': { config: { patch_size: 8 } },
  'transform context-targets-multi-block-mask': { config: { patch_size: 4 } },
  'transform compose': { config: { transforms: ['random-invert', 'random-grayscale'] } },
  'transform conditional': { config: { transform: 'random-invert', condition_key: 'label' } },
  'transform controlled': { config: { transform: { type: 'random-resized-crop', size: 16 } } },
  'transform routing': { config: { key: 'label', transforms: { 0: 'random-invert' } } },
  'transform round-robin-multi-view': { config: { transforms: ['random-invert', 'random-grayscale'] } },
  'transform wrap-torch-transform': { config: { transform: 'random-invert' } },
  'transform custom': { config: { module: '__test__/fixtures/plugins/darken.ts' } },
  'transform random-mixup-cutmix': { config: { num_classes: 4 } },
  'transform chained-multi-view': { config: { chains: ['random-invert', 'rand-augment'] } },
  'transform stacked-multi-view': { config: { chain: { type: 'random-resized-crop', size: 16 } } },
  'transform uniform-temporal-subsample': { config: { num_samples: 2 }, frames: 5 },
  'transform random-contiguous-temporal-sampler': { config: { num_frames: 2 }, frames: 5 },
  'transform simclr': { config: { size: 16 } },
  'transform dino': { config: { size: 64 } },
  'transform swav': { config: { size: 32 } },
  'transform mae': { config: { size: 16 } },
  'transform ijepa': { config: { size: 16 } },
  'transform byol': { config: { size: 16 } },
  'transform moco-v2': { config: { size: 16 } },
  'transform w-mse': { config: { size: 16 } },
  'transform lejepa': { config: { size: 32 } },
  'transform evaluation': { config: { size: 16 } },
}

/** No file of its layout lies in the repository; `__test__/plugins/datasets.test.ts` writes one. */
const withoutData = new Set(['dataset cifar100'])

const { entries } = await loadRegistry()

test('there are plugins', () => {
  expect(entries.length).toBeGreaterThan(10)
})

for (const { definition } of entries) {
  const name = `${definition.kind} ${definition.name}`
  if (withoutData.has(name)) continue
  describe(`${name}`, () => {
    test.each(conformance(definition, given[name]).map(({ name, check }) => [name, check] as const))(
      '%s',
      async (_, check) => {
        await expect(check()).resolves.toBeUndefined()
      },
    )
  })
}
