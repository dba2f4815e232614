/** The conformance suite must catch what it promises to catch: one plugin that breaks a rule, for each kind of rule. */
import { expect, test } from 'vitest'
import {
  InMemoryDataset,
  type Optimizer,
  Metric,
  SGD,
  defineBackbone,
  defineCallback,
  defineDataset,
  defineLogger,
  defineMethod,
  defineMetric,
  defineOptimizer,
  defineScheduler,
  nn,
  randn,
  tensor,
  z,
  type Definition,
  type Tensor,
} from 'stable-pretraining'
import { conformance } from 'stable-pretraining/testing'

/** The rules of its kind that a definition breaks. */
async function broken(definition: Definition): Promise<string[]> {
  const failed: string[] = []
  for (const { name, check } of conformance(definition, { side: 8, batchSize: 8 }))
    await check().catch(() => failed.push(name))
  return failed
}

const nothing = z.object({})

test('an option without a sentence, an empty description, a default that is not valid', async () => {
  const definition = defineLogger({
    name: 'silent',
    description: ' ',
    config: z.object({ every: z.int(), level: z.int().min(1).describe('how much') }),
    build: () => ({ logMetrics: () => undefined }),
  })
  expect(await broken(definition)).toEqual(
    expect.arrayContaining([
      'it says what it is in one sentence',
      'each option has a sentence',
      'its defaults are valid',
    ]),
  )
})

test('a method that learns nothing, forgets what it holds, draws differently, or leaves tensors behind', async () => {
  const left: Tensor[] = []
  let calls = 0
  const definition = defineMethod({
    name: 'broken',
    description: 'Breaks every rule.',
    family: 'guessing' as 'other',
    needs: { views: 0, backbone: 'any' },
    config: nothing,
    build({ backbone }) {
      const secret = new nn.Linear(32, 8)
      return {
        modules: { backbone: backbone.module },
        forward(batch) {
          left.push(randn([2]).keep())
          const embedding = secret.forward(backbone.module.forward(batch.image!))
          return { embedding, loss: embedding.square().mean().mul(0).add(++calls) }
        },
      }
    },
  })
  expect(await broken(definition)).toEqual([
    'it says its family and what it needs',
    'thirty steps lower the loss',
    'what it learns is saved and loaded again',
    'the same seed gives the same steps',
    'nothing is left behind by a step',
  ])
  const mute = defineMethod({
    name: 'mute',
    description: 'Returns nothing.',
    family: 'other',
    needs: { views: 1, backbone: 'any' },
    config: nothing,
    build: () => ({ modules: {}, forward: () => ({}) }),
  })
  expect(await broken(mute)).toContain('it gives an embedding of each image when validating')
})

test('a backbone of another width, whose images mix, with a parameter that is never used', async () => {
  class Mixing extends nn.Module {
    unused = tensor([1], { requiresGrad: true }).keep()
    linear = new nn.Linear(3, 4)
    forward(images: Tensor): Tensor {
      const colours = images.mean([2, 3])
      return this.linear.forward(colours.sub(colours.mean(0, true)))
    }
  }
  const definition = defineBackbone({
    name: 'mixing',
    description: 'Mixes images.',
    config: nothing,
    build: () => ({ module: new Mixing(), dim: 5 }),
  })
  expect(await broken(definition)).toEqual([
    'images [batch, 3, height, width] become embeddings [batch, dim]',
    'a batch of one works, and batches do not mix when evaluating',
    'a gradient reaches every parameter',
  ])
})

test('a data set with a wrong index and no end', async () => {
  const one = new InMemoryDataset({
    name: 'one',
    pixels: new Uint8Array(12),
    count: 1,
    width: 2,
    height: 2,
    channels: 3,
  } as never)
  const definition = defineDataset({
    name: 'endless',
    description: 'Has no end.',
    config: nothing,
    build: () => ({ name: 'endless', length: 2, get: async () => ({ ...(await one.get(0)), index: 7 }) }),
  })
  expect(await broken(definition)).toEqual([
    'the first and the last sample hold an image, their place, and a label in range',
    'a place outside is refused',
  ])
})

test('an optimizer that climbs, a scheduler that forgets its place', async () => {
  class Climbing extends SGD {
    override async loadStateDict(): Promise<void> {}
  }
  const climbing = defineOptimizer({
    name: 'climbing',
    description: 'Climbs.',
    config: nothing,
    build: ({ params }) => new Climbing(params, { lr: 0.01, momentum: 0.9, maximize: true }) as Optimizer,
  })
  expect(await broken(climbing)).toEqual([
    'thirty steps lead downhill',
    'it goes on from a saved state as if never stopped',
  ])
  const forgetful = defineScheduler({
    name: 'forgetful',
    description: 'Forgets its place.',
    config: nothing,
    build({ optimizer }) {
      let steps = 0
      return {
        step: () => void (optimizer.groups[0]!.lr = 0.1 - 0.02 * steps++),
        state: () => ({}),
        loadState: () => undefined,
      } as never
    },
  })
  expect(await broken(forgetful)).toEqual([
    'learning rates are finite and not negative',
    'it goes on from a saved state as if never stopped',
  ])
})

test('a callback with a misspelt hook, one that keeps more with each epoch, one that cannot load its state', async () => {
  const kept: Tensor[] = []
  const definition = defineCallback({
    name: 'hoarder',
    description: 'Keeps everything.',
    config: nothing,
    build: () => ({
      name: 'hoarder',
      onTrainBatchBegin: () => undefined,
      onTrainBatchEnd: () => void kept.push(randn([1]).keep()),
      state: () => ({ kept: kept.length }),
      loadState: () => void kept.push(randn([1]).keep()),
    }),
  })
  expect(await broken(definition)).toEqual([
    'it has a name, and only hooks that there are',
    'later epochs keep no more than earlier ones',
    'its state is saved and loaded again',
  ])
})

test('a metric that means its batches, forgets nothing, and has no number without class 0', async () => {
  class Hasty extends Metric<number> {
    readonly #means: number[] = []
    update(scores: Tensor, target: Tensor): void {
      this.append(() => ({ rows: target }))
      this.#means.push(target.numel / (scores.shape[1] ?? 0))
    }
    compute(): Promise<number> {
      return Promise.resolve(this.#means.reduce((sum, mean) => sum + mean, 0) / (this.#means.length - 1))
    }
  }
  const definition = defineMetric({
    name: 'hasty',
    description: 'Breaks every rule.',
    config: nothing,
    build: () => new Hasty(),
  })
  expect(await broken(definition)).toEqual([
    'it has a number, or a number for each class',
    'batches add up to all rows at once, over a checkpoint too',
    'reset forgets, and frees what was kept',
  ])
})

test('a logger that takes no new names', async () => {
  const definition = defineLogger({
    name: 'strict',
    description: 'Takes no new names.',
    config: nothing,
    build: () => ({
      logMetrics(metrics) {
        if ('accuracy' in metrics) throw new Error('unknown column accuracy')
      },
    }),
  })
  expect(await broken(definition)).toEqual(['it takes metrics of changing names'])
})
