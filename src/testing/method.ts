/** What a method has to keep: it learns, it is saved whole, it leaves nothing behind. */
import { AdamW } from '../optim/index.js'
import { methodFamilies, type Method, type MethodTraits } from '../plugin/contracts.js'
import { defaultGenerator, Tensor, manualSeed, memory, noGrad, scope } from '../tensor/index.js'
import type { Builder, ConformanceOptions } from './index.js'
import { require, requireEqual, rule, type Rule } from './rule.js'
import { numbers, smallBackbone, smallTransformer, syntheticBatch } from './synthetic.js'

export function methodRules(build: Builder, options: ConformanceOptions, traits: MethodTraits): Rule[] {
  const size = { classes: options.classes ?? 4, side: options.side ?? 16, batchSize: options.batchSize ?? 16 }
  /** `weights` seeds the start values, `seed` is the run's. */
  const make = async (weights: number, seed = weights): Promise<Method> => {
    manualSeed(weights)
    const backbone = traits.needs.backbone === 'any' ? smallBackbone() : smallTransformer(size.side)
    return (await build({ backbone, numClasses: size.classes, totalSteps: 30, seed })) as Method
  }

  /** One training step; the loss. */
  const step = async (method: Method, optimizer: AdamW, index: number): Promise<number> =>
    scope(async () => {
      const length = { epoch: 0, maxEpochs: 1, totalSteps: 30 }
      const { loss } = await method.forward(syntheticBatch(index, size), 'fit', {
        step: index,
        batch: index,
        ...length,
      })
      require(loss instanceof Tensor && loss.numel === 1, () =>
        'in the stage "fit" it returned no `loss` of one element')
      ;(loss as Tensor).backward()
      optimizer.step()
      optimizer.zeroGrad()
      await method.afterStep?.(index + 1, length)
      return (loss as Tensor).item()
    })

  const embed = async (method: Method): Promise<number[]> =>
    scope(() =>
      noGrad(async () => {
        for (const module of Object.values(method.modules)) module.eval()
        const { image, label, index } = syntheticBatch(1000, size)
        const { embedding } = await method.forward({ image, label, index }, 'validate', start)
        for (const module of Object.values(method.modules)) module.train()
        require(embedding instanceof Tensor && embedding.ndim === 2, () =>
          'it returned no `embedding` [rows, dim] in the stage "validate"')
        return numbers(embedding as Tensor)
      }),
    )

  const lowersLoss = rule('thirty steps lower the loss', async () => {
    const method = await make(0)
    const optimizer = optimizerOf(method)
    const losses: number[] = []
    for (let i = 0; i < 30; i++) losses.push(await step(method, optimizer, i))
    const [first, last] = [mean(losses.slice(0, 5)), mean(losses.slice(-5))]
    require(last < first, () => `the loss went from ${first} (mean of the first five) to ${last} (of the last five)`)
  })

  const raisesProbe = rule('thirty steps raise a probe', async () => {
    const method = await make(0)
    const optimizer = optimizerOf(method)
    const before = separation(await embed(method), size)
    for (let i = 0; i < 30; i++) await step(method, optimizer, i)
    const after = separation(await embed(method), size)
    require(after > before, () =>
      `classes were ${before} apart before training, in units of their width, and ${after} after`)
  })

  return [
    rule('it says its family and what it needs', () => {
      const { family, needs } = traits
      require(methodFamilies.includes(family), () => `its family is ${family}, none of ${methodFamilies.join(', ')}`)
      const { views } = needs
      require(views === 'multi-crop' || (Number.isInteger(views) && views > 0), () => `it needs ${views} views`)
    }),
    traits.evidence === 'probe' ? raisesProbe : lowersLoss,
    rule('it gives an embedding of each image when validating', async () => {
      const found = await embed(await make(0))
      require(found.length > 0 && found.every(Number.isFinite), () => 'the embedding holds values that are not finite')
    }),
    rule('what it learns is saved and loaded again', async () => {
      const [learnt, fresh] = [await make(0), await make(1, 0)]
      const optimizer = optimizerOf(learnt)
      for (let i = 0; i < 3; i++) await step(learnt, optimizer, i)
      for (const [name, module] of Object.entries(learnt.modules))
        fresh.modules[name]!.loadStateDict(module.stateDict())
      requireEqual('the embedding after loading', await embed(fresh), await embed(learnt))
      const goingOn = optimizerOf(fresh)
      await goingOn.loadStateDict(optimizer.stateDict())
      const random = defaultGenerator.getState()
      const [expected, found]: number[][] = [[], []]
      for (let i = 3; i < 5; i++) expected!.push(await step(learnt, optimizer, i))
      defaultGenerator.setState(random)
      for (let i = 3; i < 5; i++) found!.push(await step(fresh, goingOn, i))
      requireEqual('the loss of the steps after loading', found!, expected!)
    }),
    rule('the same seed gives the same steps', async () => {
      const losses: number[][] = []
      for (let run = 0; run < 2; run++) {
        const method = await make(7)
        const optimizer = optimizerOf(method)
        losses.push([
          await step(method, optimizer, 0),
          await step(method, optimizer, 1),
          await step(method, optimizer, 2),
        ])
      }
      requireEqual('the loss of the second run', losses[1]!, losses[0]!)
    }),
    rule('nothing is left behind by a step', async () => {
      const method = await make(0)
      const optimizer = optimizerOf(method)
      for (let i = 0; i < 3; i++) await step(method, optimizer, i)
      const before = memory().liveBuffers
      for (let i = 3; i < 8; i++) await step(method, optimizer, i)
      const after = memory().liveBuffers
      // Garbage of before may be collected meanwhile, so fewer is no fault.
      require(after <= before, () => `${before} live buffers after 3 steps, ${after} after 8`)
    }),
  ]
}

const start = { step: 0, batch: 0, epoch: 0, maxEpochs: 1, totalSteps: 30 }

function optimizerOf(method: Method): AdamW {
  const parameters = new Set(Object.values(method.modules).flatMap((module) => module.parameters()))
  return new AdamW([{ params: [...parameters].filter((parameter) => parameter.requiresGrad) }], { lr: 3e-3 })
}

/** Squared distance of the classes' means to the mean of all, over that of the embeddings to the mean of their class. */
function separation(
  embedding: readonly number[],
  { batchSize, classes }: { batchSize: number; classes: number },
): number {
  const dim = embedding.length / batchSize
  const meanOf = (rows: readonly number[], column: number) => mean(rows.map((row) => embedding[row * dim + column]!))
  const rows = Array.from({ length: batchSize }, (_, row) => row)
  let [between, within] = [0, 0]
  for (let column = 0; column < dim; column++) {
    const all = meanOf(rows, column)
    for (let label = 0; label < classes; label++) {
      const own = rows.filter((row) => row % classes === label)
      const centre = meanOf(own, column)
      between += own.length * (centre - all) ** 2
      for (const row of own) within += (embedding[row * dim + column]! - centre) ** 2
    }
  }
  return between / within
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
