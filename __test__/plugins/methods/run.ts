/** A method plugin at work on a few images, step by step, for the tests of single methods. */
import * as nn from '../../../src/nn/index.js'
import { type Optimizer, SGD } from '../../../src/optim/index.js'
import type { Batch } from '../../../src/data/index.js'
import type { Method, Outputs } from '../../../src/plugin/contracts.js'
import { arange, Generator, manualSeed, randn, scope, type Tensor } from '../../../src/tensor/index.js'
import { build } from '../build.js'

export const batchSize = 8

/** A vision transformer of two blocks for 16×16 pixels: 4×4 patches, 16 wide. */
export function transformer(options: nn.VisionTransformerOptions = {}): nn.VisionTransformer {
  return new nn.VisionTransformer({ imgSize: 16, patchSize: 4, embedDim: 16, depth: 2, numHeads: 2, ...options })
}

/** The method of that name and options (as in YAML) on a network of its own. */
export async function make(
  value: Record<string, unknown> & { type: string },
  { module = transformer(), dim = 16, seed = 0 }: { module?: nn.Module; dim?: number; seed?: number } = {},
): Promise<Method> {
  return build('method', value, { backbone: { module, dim, name: 'network' }, totalSteps: 20, seed })
}

/** Images [8, 3, side, side] that differ from step to step; each row has a colour of its own. */
export function images(step: number, side = 16, view = 0): Tensor {
  const colour = randn([batchSize, 3, 1, 1], { generator: new Generator(step, 0) })
  return randn([batchSize, 3, side, side], { generator: new Generator(step, view + 1) })
    .mul(0.5)
    .add(colour)
}

/** Two global crops of 16 pixels and so many local ones of 8. */
export function crops(step: number, locals = 0): Batch {
  const view = (side: number, number: number) => ({ image: images(step, side, number), label: arange(batchSize) })
  const views = [view(16, 0), view(16, 1), ...Array.from({ length: locals }, (_, i) => view(8, i + 2))]
  return { views, index: arange(batchSize) }
}

export const place = (step: number, epoch = 0) => ({ step, batch: step, epoch, maxEpochs: 40, totalSteps: 20 })

export function trained(method: Method): Tensor[] {
  const parameters = new Set(Object.values(method.modules).flatMap((module) => module.parameters()))
  return [...parameters].filter((parameter) => parameter.requiresGrad)
}

/** Steps `from` … `to` − 1, by default by plain gradient descent, whose optimizer has no state; the losses. */
export async function steps(
  method: Method,
  from: number,
  to: number,
  { locals = 0, lr = 0.05, optimizer = new SGD([{ params: trained(method) }], { lr }) as Optimizer } = {},
): Promise<number[]> {
  const losses: number[] = []
  for (let step = from; step < to; step += 1) {
    await scope(async () => {
      const { loss } = (await method.forward(crops(step, locals), 'fit', place(step))) as { loss: Tensor }
      losses.push(await loss.item())
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      await method.afterStep?.(step + 1, place(step))
    })
  }
  return losses
}

/** Everything a method would have in a checkpoint, copied. */
export function saved(method: Method): Map<string, Map<string, Tensor>> {
  return new Map(
    Object.entries(method.modules).map(([name, module]) => [
      name,
      new Map([...module.stateDict()].map(([key, tensor]) => [key, tensor.detach().clone().keep()])),
    ]),
  )
}

export function load(method: Method, state: Map<string, Map<string, Tensor>>): void {
  for (const [name, module] of Object.entries(method.modules)) module.loadStateDict(state.get(name)!)
}

export async function fit(
  method: Method,
  batch: Batch,
  at = place(0),
): Promise<Outputs & { loss: Tensor; embedding: Tensor }> {
  return (await method.forward(batch, 'fit', at)) as never
}

export const list = async (tensor: Tensor): Promise<number[]> => Array.from(await tensor.data(), Number)

export { manualSeed }
