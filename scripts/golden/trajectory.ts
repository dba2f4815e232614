/** Short training runs of the reference vectors: a method plugin, given start values and batches, a real optimizer. */
import { check } from '../../src/config/check.js'
import { withLookup } from '../../src/config/reference.js'
import type { Batch } from '../../src/data/index.js'
import * as nn from '../../src/nn/index.js'
import { createOptimizer } from '../../src/optim/index.js'
import type { Backbone, Method } from '../../src/plugin/contracts.js'
import type { Kind } from '../../src/plugin/define.js'
import { loadRegistry } from '../../src/plugin/registry.js'
import { noGrad, scope, type Tensor } from '../../src/tensor/index.js'
import { camelOptions, type Call } from './table.js'

/** How a case of this group becomes a run of a method of ours. */
export interface Run {
  /** The plugin's name. */
  readonly method: string
  /** The network that is pretrained; TinyNet where absent. */
  readonly backbone?: (attrs: Record<string, unknown>) => Backbone
  /** Options of the plugin; by default the case's `kwargs`. */
  readonly config?: (attrs: Record<string, unknown>) => Record<string, unknown>
  /** The batch of a step; by default its views, or `x` and `target`. */
  readonly batch?: (call: Call, step: number) => Batch
  /** A tensor of ours for a name of the reference's that is not simply in our state dict. */
  readonly find?: (name: string, state: ReadonlyMap<string, Tensor>, method: Method) => Tensor | undefined
}

/** Runs all steps of a case: the losses before each update, the first gradients' norms, the norms of the state after. */
export function trajectory(run: Run): (call: Call) => Promise<Record<string, Float64Array>> {
  return async (call) => {
    const { attrs, inputs } = call
    const method = await buildMethod(run, attrs)
    const named = Object.entries(method.modules as Record<string, nn.Module>)
    const network = new nn.ModuleDict(
      named.map(([name, module]) => [nn.snakeCase(name), module] as [string, nn.Module]),
    )
    const state = network.stateDict()
    const find = (name: string): Tensor => {
      const found = run.find?.(name, network.stateDict(), method) ?? network.stateDict().get(name)
      if (!found) throw new Error(`${run.method} has nothing called ${name}, only ${[...state.keys()].join(', ')}`)
      return found
    }
    const start = Object.entries(call.named).filter(([name]) => name.startsWith('param.'))
    noGrad(() => start.forEach(([name, value]) => void find(name.slice('param.'.length)).copy_(value)))
    followStudents(state)

    const names = attrs['parameters'] as string[]
    const trained = [...network.namedParameters()].filter(([, parameter]) => parameter.requiresGrad)
    if (trained.length !== names.length)
      throw new Error(`${trained.length} trained parameters, expected ${names.join()}; got ${trained.map(([n]) => n)}`)
    const options = camelOptions(attrs['optimizer'])
    const optimizer = createOptimizer(
      names.map((name) => [name, find(name)]),
      options,
    )
    const [steps, perEpoch, maxEpochs] = ['steps', 'steps_per_epoch', 'max_epochs'].map((key) => Number(attrs[key]))
    const progress = { maxEpochs: maxEpochs!, totalSteps: steps! }
    const losses = new Float64Array(steps!)
    let firstGradNorms: Float64Array = new Float64Array()
    network.train()
    if (inputs.length === 0) throw new Error('the case has no batches')
    for (let step = 0; step < steps!; step += 1) {
      await scope(async () => {
        const batch = (run.batch ?? batchOf)(call, step)
        const place = { step, batch: step, epoch: Math.floor(step / perEpoch!), ...progress }
        const { loss } = (await method.forward(batch, 'fit', place)) as { loss: Tensor }
        losses[step] = await loss.item()
        loss.backward()
        if (step === 0) firstGradNorms = await norms(names.map((name) => find(name).grad ?? find(name).zerosLike()))
        optimizer.step()
        optimizer.zeroGrad()
        await method.afterStep?.(step + 1, { epoch: Math.floor(step / perEpoch!), ...progress })
      })
    }
    const stateNorms = await norms((attrs['state'] as string[]).map(find))
    return { losses, first_grad_norms: firstGradNorms, state_norms: stateNorms }
  }
}

/** `view1`, `view2` … of a step as views, or `x` as the image, with the labels in `target`. */
export function batchOf({ named }: Call, step: number): Batch {
  const at = (name: string): Tensor => (named[name] as Tensor).select(0, step)
  const label = named['target'] ? { label: at('target') } : {}
  const views = Object.keys(named).filter((name) => /^view\d+$/.test(name))
  if (views.length === 0) return { image: at('x'), ...label } as unknown as Batch
  return { views: views.map((name) => ({ image: at(name), ...label })), ...label } as unknown as Batch
}

let registry: ReturnType<typeof loadRegistry> | undefined

async function buildMethod(
  { method, backbone = tinyNet, config }: Run,
  attrs: Record<string, unknown>,
): Promise<Method> {
  registry ??= loadRegistry()
  const { find } = await registry
  const definition = find('method', method)
  const given = config?.(attrs) ?? (attrs['kwargs'] as object)
  const { output, problems } = withLookup(
    (kind, name) => find(kind as Kind, name),
    () => check(definition.config, given),
  )
  if (problems.length > 0)
    throw new Error(problems.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  const built = backbone(attrs)
  const context = { backbone: { ...built, name: 'reference' }, totalSteps: Number(attrs['steps']), seed: 0 }
  const numClasses = attrs['classes'] === undefined ? {} : { numClasses: Number(attrs['classes']) }
  return definition.build({ ...context, ...numClasses, config: output } as never)
}

/** Start values are given for students only: each teacher begins as a copy. */
function followStudents(state: ReadonlyMap<string, Tensor>): void {
  noGrad(() => {
    for (const [name, tensor] of state) {
      const student = state.get(name.replace('.teacher.', '.student.'))
      if (name.includes('.teacher.') && student) tensor.copy_(student)
    }
  })
}

async function norms(tensors: readonly Tensor[]): Promise<Float64Array> {
  const values = tensors.map((value) => value.detach().to('cpu').to('float64').square().sum().sqrt().item())
  return Float64Array.from(await Promise.all(values))
}

/** Three 3×3 convolutions with batch norm and ReLU, strides 1, 2, 2, then the mean over all places. */
function tinyNet(attrs: Record<string, unknown>): Backbone {
  const [first = 0, second = 0, third = 0] = attrs['widths'] as number[]
  return { module: new TinyNet([3, first, second, third]), dim: third }
}

class TinyNet extends nn.Module {
  conv1: nn.Conv2d
  bn1: nn.BatchNorm2d
  conv2: nn.Conv2d
  bn2: nn.BatchNorm2d
  conv3: nn.Conv2d
  bn3: nn.BatchNorm2d

  constructor([input = 3, first = 0, second = 0, third = 0]: readonly number[]) {
    super()
    const convolution = (from: number, to: number, stride: number) =>
      new nn.Conv2d(from, to, 3, { stride, padding: 1, bias: false })
    this.conv1 = convolution(input, first, 1)
    this.bn1 = new nn.BatchNorm2d(first)
    this.conv2 = convolution(first, second, 2)
    this.bn2 = new nn.BatchNorm2d(second)
    this.conv3 = convolution(second, third, 2)
    this.bn3 = new nn.BatchNorm2d(third)
  }

  forward(images: Tensor): Tensor {
    const one = this.bn1.forward(this.conv1.forward(images)).relu()
    const two = this.bn2.forward(this.conv2.forward(one)).relu()
    return this.bn3.forward(this.conv3.forward(two)).relu().mean([2, 3])
  }
}
