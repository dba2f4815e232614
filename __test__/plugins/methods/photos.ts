/** Training runs of method plugins on real photos, each by the recipe of its own. */
import { join } from 'node:path'
import { DataLoader, DataModule, readCifar, type MultiView, type Transform } from '../../../src/data/index.js'
import type { Backbone, Method } from '../../../src/plugin/contracts.js'
import type { Definition } from '../../../src/plugin/define.js'
import { loadRegistry } from '../../../src/plugin/registry.js'
import { manualSeed } from '../../../src/index.js'
import { Module, Trainer } from '../../../src/train/index.js'
import { smallBackbone, smallTransformer } from '../../../src/testing/synthetic.js'
import { build } from '../build.js'
import { smallMethods } from '../small-methods.js'

const { entries } = await loadRegistry()
/** The built-in methods. */
export const methods = entries.flatMap(({ definition, origin }) =>
  definition.kind === 'method' && origin === 'built-in' ? [definition as Definition<'method'>] : [],
)
const classes = ['daisy', 'roses', 'tulips']
/** 18 photos of 32 pixels in three classes. */
export const photos = await readCifar({
  files: [join(import.meta.dirname, '../../fixtures/data/photos-cifar10-layout.bin')],
  labelBytes: 1,
  labelByte: 0,
  classes,
  name: 'photos',
})
export const side = 32

export interface Trained {
  method: Method
  losses: number[]
}

export async function train(
  definition: Definition<'method'>,
  steps: number,
  { numWorkers = 1, device = 'cpu' as 'cpu' | 'gpu' } = {},
): Promise<Trained> {
  const { name, needs, recipe = 'simclr' } = definition
  manualSeed(0)
  const backbone = needs.backbone === 'any' ? smallBackbone() : smallTransformer(side)
  const { config } = smallMethods[`method ${name}`] ?? {}
  const context = { backbone: backbone as Backbone & { name: string }, numClasses: 3, totalSteps: 30, seed: 0 }
  const method = await build('method', { type: name, ...config }, context)
  const module = new Module({
    ...method.modules,
    forward: (batch, stage, progress) => method.forward(batch, stage, progress),
    afterStep: (step: number, progress) => method.afterStep?.(step, progress),
    optim: { optimizer: { type: 'AdamW', lr: 3e-3 }, scheduler: null },
  })
  const transform = (await build('transform', { type: recipe, size: side, statistics: 'ImageNet' }, {})) as
    | MultiView
    | Transform
  const loader = new DataLoader({ dataset: photos, batchSize: 9, shuffle: true, numWorkers, transform, seed: 0 })
  const losses: number[] = []
  const logger = { logMetrics: (logged: object) => void losses.push(...numbersOf(logged, 'fit/loss_step')) }
  const options = { maxEpochs: 30, maxSteps: steps, numSanityValSteps: 0, logEveryNSteps: 1, logger, device }
  await new Trainer(options).fit(module, new DataModule({ train: loader }))
  return { method, losses }
}

const numbersOf = (logged: object, key: string): number[] =>
  key in logged ? [(logged as Record<string, number>)[key]!] : []
