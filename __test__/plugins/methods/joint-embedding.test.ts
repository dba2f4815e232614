/** What single methods promise beyond the conformance suite and the training runs of the reference vectors. */
import { describe, expect, test } from 'vitest'
import { loadRegistry } from '../../../src/plugin/registry.js'
import type { Method } from '../../../src/plugin/contracts.js'
import { manualSeed, nn, noGrad, randn, scope, type Tensor, type TeacherStudentWrapper } from '../../../src/index.js'
import { smallBackbone, syntheticBatch } from '../../../src/testing/synthetic.js'
import { build } from '../build.js'

const { entries } = await loadRegistry()
const methods = entries.map(({ definition }) => definition).filter(({ kind }) => kind === 'method')
const transforms = entries.map(({ definition }) => definition).filter(({ kind }) => kind === 'transform')

const batch = (size = 8) => syntheticBatch(0, { batchSize: size, classes: 4, side: 16 })
const place = { step: 0, batch: 0, epoch: 0, maxEpochs: 4, totalSteps: 8 }
const make = (config: object, backbone: object = smallBackbone()): Promise<Method> =>
  build('method', config, { backbone, totalSteps: 8, seed: 0 } as never)
const values = async (value: unknown): Promise<number[]> => Array.from((await (value as Tensor).data()) as Float32Array)

test('the recipe of each method is a transform', () => {
  const names = new Set(transforms.flatMap(({ name, aliases = [] }) => [name, ...aliases]))
  const recipes = methods.map((definition) => (definition as { recipe?: string }).recipe)
  expect(recipes.filter((recipe) => recipe !== undefined && !names.has(recipe))).toEqual([])
})

describe('the teacher of byol', () => {
  const small = { type: 'byol', projector_dims: [8, 4], predictor_dims: [8, 4], ema_decay_start: 0.5, ema_decay_end: 1 }

  test.each([
    ['epoch', 0.5, 0.75],
    ['step', 1 - 0.5 * 0.5 * (1 + Math.cos(Math.PI / 8)), 1 - 0.5 * 0.5 * (1 + Math.cos((5 * Math.PI) / 8))],
  ])('moves with the %s', async (interval, second, sixth) => {
    const { modules, afterStep } = await make({ ...small, ema_interval: interval })
    const { emaCoefficient } = modules['backbone'] as unknown as TeacherStudentWrapper
    await afterStep!(2, { ...place, epoch: 0 })
    expect(await emaCoefficient.item()).toBeCloseTo(second, 6)
    await afterStep!(6, { ...place, epoch: 2 })
    expect(await emaCoefficient.item()).toBeCloseTo(sixth, 6)
  })

  test('goes by steps where the run has no number of epochs', async () => {
    const { modules, afterStep } = await make(small)
    const { emaCoefficient } = modules['backbone'] as unknown as TeacherStudentWrapper
    await afterStep!(5, { ...place, maxEpochs: Infinity })
    expect(await emaCoefficient.item()).toBeCloseTo(0.75, 6)
  })

  test('gives the embedding, without a gradient', async () => {
    const method = await make(small)
    const { modules } = method
    noGrad(() => (modules['backbone'] as unknown as TeacherStudentWrapper).teacher.parameters()[0]!.fill_(0))
    const given = batch()
    const { embedding } = (await method.forward(given, 'fit', place)) as { embedding: Tensor }
    expect(embedding.shape).toEqual([16, 32])
    expect(embedding.requiresGrad).toBe(false)
    expect(new Set(await values(embedding)).size).toBeLessThanOrEqual(32) // batch norm of zeros: one vector for all
  })
})

describe('moco-v2', () => {
  const small = { type: 'moco-v2', projector_dims: [8, 4], queue_length: 12 }

  test('its keys wait in the checkpoint', async () => {
    const method = await make(small)
    await method.forward(batch(), 'fit', place)
    const saved = (method.modules['mocoLoss'] as unknown as nn.Module).stateDict()
    expect([...saved].map(([name, { shape }]) => `${name} ${shape.join('x')}`)).toEqual([
      'queue.front 8x4',
      'queue.back 0x4',
    ])
  })

  test('by default a positive is among the negatives; left out, the first batch has none', async () => {
    const withOwn = (await (await make(small)).forward(batch(), 'fit', place)) as { loss: Tensor }
    expect(await withOwn.loss.item()).toBeGreaterThan(Math.log(2) - 1e-3)
    const method = await make({ ...small, own_key_as_negative: false })
    const without = async () => ((await method.forward(batch(), 'fit', place)) as { loss: Tensor }).loss.item()
    expect(await without()).toBe(0)
    expect(await without()).toBeGreaterThan(0)
  })
})

test('nnclr may look among older embeddings only: a repeated batch then finds what it found before', async () => {
  const small = { type: 'nnclr', projector_dims: [8, 4], predictor_hidden_dim: 8, queue_length: 8, temperature: 1 }
  const losses = async (ownView: boolean) => {
    manualSeed(0)
    const method = await make({ ...small, own_view_as_neighbour: ownView })
    const given = batch()
    const loss = async () => ((await method.forward(given, 'fit', place)) as { loss: Tensor }).loss.item()
    return [await loss(), await loss()]
  }
  const [own, older] = [await losses(true), await losses(false)]
  // Its own row is in the queue from the first time on, or from the second time on.
  expect(own[1]).toBe(own[0])
  expect(older[0]).not.toBe(own[0])
  expect(older[1]).toBe(own[1])
})

test('w-mse says which batch it needs', async () => {
  const method = await make({ type: 'w-mse', projector_dims: [8, 16] })
  expect(() => method.forward(batch(4), 'fit', place)).toThrow(
    expect.objectContaining({ code: 'ERR_SHAPE', hint: expect.stringContaining('batch_size above 8') as string }),
  )
})

describe('vicregl', () => {
  test('works on feature maps, and its loss is the sum of both parts', async () => {
    const network = new nn.ConvMixer({ dim: 8, depth: 1, patchSize: 4, kernelSize: 3 })
    const method = await make(
      { type: 'vicregl', projector_dim: 8, alpha: 0.25 },
      { module: network, dim: 8, name: 'small' },
    )
    const outputs = (await method.forward(batch(), 'fit', place)) as Record<string, Tensor>
    const [loss, whole, local] = await Promise.all(
      ['loss', 'loss_global', 'loss_local'].map((key) => outputs[key]!.item()),
    )
    expect(loss).toBeCloseTo(0.25 * whole! + 0.75 * local!, 3)
  })

  test('refuses a backbone that gives one vector an image', async () => {
    const perceptron = { module: nn.mlp([768, 8]), dim: 8, name: 'mlp' }
    await expect(make({ type: 'vicregl' }, perceptron)).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED' })
  })
})

describe.each(['lejepa', 'visreg'])('%s', (type) => {
  const small = { type, embed_dim: 8, projector_dims: [8, 4] }
  const crops = (globals: number, locals: number) => {
    const view = (side: number) => ({ image: randn([4, 3, side, side]), label: batch(4).label })
    const named = (name: string, count: number, side: number) =>
      Array.from({ length: count }, (_, i) => [`${name}_${i}`, view(side)])
    return {
      index: batch(4).index,
      ...Object.fromEntries([...named('global', globals, 16), ...named('local', locals, 8)]),
    }
  }

  test('takes crops of two sizes, also by a vision transformer, and embeds the large ones', async () => {
    const module = new nn.VisionTransformer({
      imgSize: 16,
      patchSize: 4,
      embedDim: 8,
      depth: 1,
      numHeads: 2,
      dynamicImgSize: true,
    })
    const method = await make(small, { module, dim: 8, name: 'vit' })
    const { embedding, label, projection } = (await method.forward(crops(2, 3), 'fit', place)) as Record<string, Tensor>
    expect([embedding!.shape, label!.shape, projection!.shape]).toEqual([[8, 8], [8], [20, 4]])
    expect(embedding!.requiresGrad).toBe(false)
  })

  test('its invariance is the distance of all projections to the mean of the global ones', async () => {
    const outputs = (await (await make(small)).forward(crops(2, 1), 'fit', place)) as Record<string, Tensor>
    const rows = await values(outputs['projection']) // [3 views * 4 images, 4]
    const at = (view: number, image: number, column: number) => rows[(view * 4 + image) * 4 + column]!
    let total = 0
    for (let image = 0; image < 4; image++) {
      for (let column = 0; column < 4; column++) {
        const centre = (at(0, image, column) + at(1, image, column)) / 2
        for (let view = 0; view < 3; view++) total += (at(view, image, column) - centre) ** 2
      }
    }
    const [loss, invariance] = [await outputs['loss']!.item(), await outputs['invariance']!.item()]
    expect(invariance).toBeCloseTo(total / 48, 4)
    const other = await (outputs['sigreg'] ?? outputs['visreg'])!.item()
    const share = type === 'visreg' ? 0.98 : 1
    expect(loss).toBeCloseTo(share * invariance + 0.02 * other, 4)
  })

  test('one crop is too few, and the recipe is named', async () => {
    const method = await make(small)
    expect(() => scope(() => method.forward(crops(1, 0) as never, 'fit', place))).toThrow(
      expect.objectContaining({ code: 'ERR_DATA', hint: expect.stringContaining(`type: ${type}`) as string }),
    )
  })
})
