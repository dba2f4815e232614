/** What methods with teachers, queues, centres and masks keep: all of it is saved, and masks follow from seed and batch. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { crops, fit, list, load, make, manualSeed, place, saved, steps, transformer } from './run.js'
import * as nn from '../../../src/nn/index.js'
import { scope, writeSafetensors } from '../../../src/tensor/index.js'

const head = { projector_hidden_dim: 16, projector_bottleneck_dim: 8, n_prototypes: 12 }

/** Options that let every part of a method matter within some steps. */
const methods = {
  dino: { ...head, ema_decay_start: 0.9 },
  ibot: { ...head, n_patch_prototypes: 10, ema_decay_start: 0.9 },
  dinov2: { ...head, n_patch_prototypes: 10, ema_decay_start: 0.9 },
  msn: { ...head, ema_decay_start: 0.9 },
  swav: { projector_dims: [16, 8], n_prototypes: 12, queue_length: 16, start_queue_at_epoch: 0, freeze_prototypes: 0 },
  mae: { decoder_embed_dim: 16, decoder_depth: 1, decoder_num_heads: 2 },
  simmim: {},
  ijepa: { predictor_embed_dim: 16, predictor_depth: 1, ema_decay_start: 0.9 },
  data2vec: { ema_decay_start: 0.9, ema_decay_end: 0.99 },
}
const masked = ['ibot', 'dinov2', 'msn', 'mae', 'simmim', 'ijepa', 'data2vec']
const withCrops = ['dino', 'ibot', 'dinov2', 'msn', 'swav']

describe.each(Object.entries(methods))('%s', (type, options) => {
  const locals = withCrops.includes(type) ? 1 : 0

  test('goes on from its saved state as if it had never stopped', async () => {
    manualSeed(1)
    const whole = await make({ type, ...options })
    await steps(whole, 0, 4, { locals })
    const state = saved(whole)
    const expected = await steps(whole, 4, 7, { locals })
    manualSeed(2)
    const other = await make({ type, ...options })
    load(other, state)
    manualSeed(3)
    expect(await steps(other, 4, 7, { locals })).toEqual(expected)
    expect(new Set(expected).size).toBe(3)
  })

  test('embeds each image as [rows, dim], with as many labels, in training as well', async () => {
    const method = await make({ type, ...options })
    await scope(async () => {
      const { embedding, label, loss } = await fit(method, crops(0, locals))
      expect(embedding.shape).toEqual([type === 'msn' ? 8 : 16, 16])
      expect((label as typeof embedding).shape).toEqual([embedding.shape[0]])
      expect(embedding.requiresGrad).toBe(false)
      expect(Number.isFinite(await loss.item())).toBe(true)
    })
  })

  test.runIf(masked.includes(type))(
    'draws its masks from the seed and the number of the batch, and nothing else',
    async () => {
      const lossAt = async (seed: number, batch: number, drawn: number): Promise<number> => {
        manualSeed(1)
        const method = await make({ type, ...options }, { seed })
        manualSeed(drawn)
        return scope(async () => (await fit(method, crops(0), { ...place(0), batch })).loss.item())
      }
      const loss = await lossAt(5, 3, 0)
      expect(await lossAt(5, 3, 1)).toBe(loss)
      expect(await lossAt(5, 4, 0)).not.toBe(loss)
      expect(await lossAt(6, 3, 0)).not.toBe(loss)
    },
  )

  test.runIf(masked.includes(type))('says what it needs where there are no patches', async () => {
    await expect(make({ type, ...options }, { module: new nn.ResNet9(), dim: 1024 })).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: expect.stringMatching(new RegExp(`^${type}: it needs a vision transformer, not ResNet`)) as string,
      hint: expect.stringContaining('vit-tiny') as string,
    })
  })

  test.runIf(withCrops.includes(type))(
    'takes crops of another size than its network was made for, and refuses a single one',
    async () => {
      const method = await make({ type, ...options }, { module: transformer({ dynamicImgSize: false }) })
      const batch = crops(0, 3)
      await scope(async () => expect(Number.isFinite(await (await fit(method, batch)).loss.item())).toBe(true))
      await expect(fit(method, { ...batch, views: batch.views!.slice(0, 1) })).rejects.toMatchObject({
        code: 'ERR_DATA',
      })
    },
  )

  test.runIf(masked.includes(type) && !withCrops.includes(type))(
    'gives the same embedding in training as in validation',
    async () => {
      const method = await make({ type, ...options })
      await scope(async () => {
        const batch = crops(0)
        const { embedding } = await fit(method, batch)
        for (const module of Object.values(method.modules)) module.eval()
        const validation = await method.forward(batch, 'validate', place(0))
        expect(await list(embedding)).toEqual(await list(validation['embedding'] as typeof embedding))
      })
    },
  )
})

test('ijepa damps the blocks of a network that starts from nothing, and leaves learnt weights alone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'spt-ijepa-'))
  const learnt = transformer()
  await writeSafetensors(join(folder, 'weights.safetensors'), learnt.stateDict())
  const change = async (module: nn.VisionTransformer): Promise<number> => {
    const weight = module.stateDict().get('blocks.1.mlp.fc2.weight')!
    const before = await weight.norm().item()
    await make({ type: 'ijepa', ...methods.ijepa }, { module })
    return (await weight.norm().item()) / before
  }
  const loaded = transformer()
  await nn.loadPretrained(loaded, join(folder, 'weights.safetensors'))
  expect(await change(loaded)).toBe(1)
  expect(await change(transformer())).toBeCloseTo(1 / 2, 5)
  await rm(folder, { recursive: true })
})
