/** Every update rule against torch: options, groups, parameters without gradients, and states that travel. */
import { describe, expect, test } from 'vitest'
import {
  Adam,
  AdamW,
  LARS,
  Lion,
  optimizerClasses,
  RMSprop,
  Rprop,
  SGD,
  type Optimizer,
} from '../../src/optim/index.js'
import { tensor, type Tensor } from '../../src/tensor/index.js'
import { camel, optimizerCases, parametersOf, stateDictOf, stepWith, valuesOf, type OptimizerCase } from './torch.js'

/** The optimizer of a case, in torch's two groups. */
function make({ optimizer, options, own }: OptimizerCase, params: Tensor[]): Optimizer {
  const groups = [{ params: params.slice(0, 1) }, { params: params.slice(1), ...camel(own) }]
  return new (optimizerClasses[optimizer] as never as new (...given: unknown[]) => Optimizer)(groups, camel(options))
}

/** The largest difference between two lists of parameters. */
const distance = (found: number[][], expected: number[][]): number =>
  Math.max(...found.flatMap((values, i) => values.map((value, at) => Math.abs(value - (expected[i]?.[at] ?? NaN)))))

describe.each(optimizerCases.map((made, index) => [`${made.optimizer} (${index})`, made] as const))('%s', (_, made) => {
  test('takes the steps of torch, in two groups, also around missing gradients', async () => {
    const params = parametersOf(made.start)
    const optimizer = make(made, params)
    for (const [step, gradients] of made.gradients.entries()) {
      stepWith(optimizer, params, gradients)
      expect(distance(await valuesOf(params), made.after[step] as number[][])).toBeLessThan(1e-5)
    }
  })

  test('goes on from a state dict that torch made', async () => {
    const params = parametersOf(made.after[2] as number[][])
    const optimizer = make(made, params)
    await optimizer.loadStateDict(stateDictOf(made.state_after_3))
    for (const step of [3, 4, 5]) stepWith(optimizer, params, made.gradients[step] as never)
    expect(distance(await valuesOf(params), made.after[5] as number[][])).toBeLessThan(1e-5)
  })

  test('makes a state dict of the same layout, names and values', async () => {
    const params = parametersOf(made.start)
    const optimizer = make(made, params)
    for (const step of [0, 1, 2]) stepWith(optimizer, params, made.gradients[step] as never)
    const [ours, theirs] = [optimizer.stateDict(), stateDictOf(made.state_after_3)]
    for (const [index, expected] of Object.entries(theirs.state)) {
      for (const [name, value] of Object.entries(expected)) {
        const found = ours.state[index]?.[name] as Tensor | number
        const wanted = Array.from((await (value as Tensor).data()) as Float32Array)
        const got = typeof found === 'number' ? [found] : Array.from((await found.data()) as Float32Array)
        expect(distance([got], [wanted])).toBeLessThan(1e-5)
      }
    }
    const switches = ['foreach', 'capturable', 'differentiable', 'fused']
    // torch's AdamW is its Adam with this option set; here decoupled decay is what AdamW means.
    const implied = made.optimizer === 'AdamW' ? ['decoupled_weight_decay'] : []
    theirs.param_groups.forEach((group, index) => {
      const wanted = Object.fromEntries(
        Object.entries(group).filter(([name]) => ![...switches, ...implied].includes(name)),
      )
      expect(ours.param_groups[index]).toEqual(wanted)
    })
  })

  test('goes on from its own state dict bit for bit', async () => {
    const [whole, again] = [parametersOf(made.start), parametersOf(made.start)]
    const first = make(made, whole)
    for (const step of [0, 1, 2]) stepWith(first, whole, made.gradients[step] as never)
    const second = make(made, again)
    again.forEach((param, index) => param.detach().copy_((whole[index] as Tensor).detach()))
    await second.loadStateDict(first.stateDict())
    for (const step of [3, 4, 5]) {
      stepWith(first, whole, made.gradients[step] as never)
      stepWith(second, again, made.gradients[step] as never)
    }
    expect(await valuesOf(again)).toEqual(await valuesOf(whole))
  })
})

describe('mistakes', () => {
  const weight = () => tensor([1, 2], { requiresGrad: true }).keep()
  const wrong: Array<[string, () => unknown, RegExp]> = [
    ['a negative rate', () => new SGD([weight()], { lr: -1 }), /SGD: lr: expected 0 or more, got -1/],
    ['a rate of a group', () => new SGD([{ params: [weight()], lr: NaN }]), /SGD: lr/],
    ['a beta of 1', () => new Adam([weight()], { betas: [0.9, 1] }), /Adam: betas: expected at least 0 and below 1/],
    ['a negative epsilon', () => new AdamW([weight()], { eps: -1e-8 }), /AdamW: eps/],
    ['a negative weight decay', () => new LARS([weight()], { weightDecay: -1 }), /LARS: weightDecay/],
    ['a negative momentum', () => new RMSprop([weight()], { momentum: -0.1 }), /RMSprop: momentum/],
    ['Nesterov without momentum', () => new SGD([weight()], { nesterov: true }), /nesterov needs momentum above 0/],
    [
      'Nesterov with dampening',
      () => new LARS([weight()], { nesterov: true, momentum: 0.9, dampening: 0.1 }),
      /nesterov/,
    ],
    ['factors that do not part', () => new Rprop([weight()], { etas: [1.5, 1.2] }), /Rprop: etas/],
    ['an option of another', () => new Lion([weight()], { epss: 1 } as never), /Lion has no option "epss"/],
    ['a misspelt option', () => new AdamW([weight()], { weightDecai: 1 } as never), /did you mean "weightDecay"\?/],
    ['a snake_case option', () => new SGD([weight()], { weight_decay: 1 } as never), /did you mean "weightDecay"\?/],
    ['no parameters', () => new SGD([]), /SGD needs parameters, got none/],
    ['something that is no tensor', () => new SGD([3 as never]), /SGD: params: expected tensors, got 3/],
  ]
  test.each(wrong)('%s', (_, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(message) }))
  })

  test('a parameter twice, by its name', () => {
    const shared = weight()
    const groups = [
      { params: [shared], names: ['a'] },
      { params: [shared], names: ['b'] },
    ]
    expect(() => new SGD(groups)).toThrow(/parameter b is in the optimizer twice/)
  })

  test('a state of other groups, shapes or rules; nothing is changed then', async () => {
    const params = [weight()]
    const optimizer = new Adam(params)
    stepWithGradient(optimizer, params)
    const saved = optimizer.stateDict()
    const other = new Adam([weight(), weight()])
    await expect(other.loadStateDict(saved)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
    const wide = new Adam([tensor([1, 2, 3], { requiresGrad: true })])
    await expect(wide.loadStateDict(saved)).rejects.toThrow(/"exp_avg" has shape \[2\], its parameter has shape \[3\]/)
    const sgd = new SGD([weight()], { momentum: 0.9 })
    await expect(sgd.loadStateDict(saved)).rejects.toThrow(/lacks momentum_buffer, which SGD needs; it has .*exp_avg/)
    expect(sgd.stateDict().state).toEqual({})
  })
})

function stepWithGradient(optimizer: Optimizer, params: Tensor[]): void {
  for (const param of params) param.setGrad(tensor([1, 1]))
  optimizer.step()
}
