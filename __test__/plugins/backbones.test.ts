/** Backbones as plugins: the names they answer to, and start weights. Their shapes and gradients are tried in conformance. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadRegistry } from '../../src/plugin/registry.js'
import type { Backbone } from '../../src/plugin/contracts.js'
import type { Definition } from '../../src/plugin/define.js'

const registry = await loadRegistry()
const fixtures = join(import.meta.dirname, '../fixtures/nn')

const build = async (name: string, options: object, context: object = {}): Promise<Backbone> => {
  const definition = registry.find('backbone', name) as Definition<'backbone'>
  return definition.build({ seed: 0, ...context, config: definition.config.parse(options) } as never)
}

test.each(
  registry.entries.filter(({ definition }) => definition.kind === 'backbone').map(({ definition }) => definition),
)('$name can start from given weights', ({ config }) => {
  expect(Object.keys(config.shape)).toContain('pretrained')
  expect(config.safeParse({ pretrained: '' }).success).toBe(false)
})

test.each([
  ['torchvision.models.resnet101', 'resnet101'],
  ['stable_pretraining.backbone.Resnet9', 'resnet9'],
  ['convnext_tiny', 'convnext-tiny'],
  ['ConvMixer', 'convmixer'],
  ['timm.models.vision_transformer.vit_small_patch16_224', 'vit-small'],
  ['vit_large', 'vit-large'],
  ['vit_base_patch16_224', 'vit-base'],
])('%s is found as %s', (asked, name) => {
  expect(registry.find('backbone', asked).name).toBe(name)
})

describe('start weights', () => {
  test('of another architecture are refused with every difference', async () => {
    await expect(build('resnet9', { pretrained: 'convnext.safetensors' }, { root: fixtures })).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT',
      message: expect.stringMatching(
        /do not fit ResNet9\n {2}missing .*conv\.0\.weight.*\n {2}unexpected .*/,
      ) as string,
    })
  })

  test('that are not there are refused with the place', async () => {
    await expect(build('mlp', { pretrained: './none.safetensors' }, { root: fixtures })).rejects.toThrow(
      `${join(fixtures, 'none.safetensors')}: no checkpoint found`,
    )
  })
})

test('the perceptron takes pixels, and its parameters have torchvision’s names', async () => {
  const { module, dim } = await build('mlp', { hidden: [8, 4], imageSize: 4, inChannels: 1 })
  expect([dim, ...module.stateDict().keys()]).toEqual([
    4,
    '0.weight',
    '0.bias',
    '1.weight',
    '1.bias',
    '1.running_mean',
    '1.running_var',
    '1.num_batches_tracked',
    '4.weight',
    '4.bias',
  ])
})
