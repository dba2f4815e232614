/** Optimizers from a configuration: names, classes, functions, and which parameters decay. */
import { describe, expect, test } from 'vitest'
import {
  AdamW,
  createOptimizer,
  isBiasOrNorm,
  LARS,
  SGD,
  splitByWeightDecay,
  type OptimizerConfig,
} from '../../src/optim/index.js'
import * as nn from '../../src/nn/index.js'
import { zeros, type Tensor } from '../../src/tensor/index.js'

const network = () =>
  new nn.Sequential(new nn.Conv2d(3, 4, 3), new nn.BatchNorm2d(4), new nn.Flatten(), new nn.Linear(4, 2))
const named = (): Array<[string, Tensor]> => [...network().namedParameters()]

describe('what a configuration may be', () => {
  test('absent: AdamW; a name in any case; a class; options with a type of either kind; a function', () => {
    expect(createOptimizer(named())).toBeInstanceOf(AdamW)
    expect(createOptimizer(named(), 'sgd')).toBeInstanceOf(SGD)
    expect(createOptimizer(named(), LARS as never)).toBeInstanceOf(LARS)
    expect(createOptimizer(named(), { lr: 0.5 }).groups[0]).toMatchObject({ lr: 0.5, weightDecay: 0.01 })
    expect(createOptimizer(named(), { type: LARS as never, lr: 5, eta: 0.1 }).groups[0]).toMatchObject({
      lr: 5,
      eta: 0.1,
    })
    const made = createOptimizer(named(), (groups) => new SGD(groups, { lr: 3 }))
    expect(made.groups[0]).toMatchObject({
      lr: 3,
      names: ['0.weight', '0.bias', '1.weight', '1.bias', '3.weight', '3.bias'],
    })
  })

  test.each<[string, OptimizerConfig, RegExp]>([
    ['an unknown name', 'AdmaW', /unknown optimizer "AdmaW"; did you mean "AdamW"\?/],
    ['an unknown option', { type: 'SGD', momentun: 0.9 }, /SGD has no option "momentun"; did you mean "momentum"\?/],
    ['a type that is none', { type: 3 as never }, /the name or the class of an optimizer, got 3/],
    ['a rate out of range', { type: 'LARS', lr: -1 }, /LARS: lr: expected 0 or more, got -1/],
  ])('%s is refused', (_, config, message) => {
    expect(() => createOptimizer(named(), config)).toThrow(
      expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(message) }),
    )
  })

  test('the hint of an unknown name lists all', () => {
    expect(() => createOptimizer(named(), 'Nothing')).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('Adadelta, Adagrad, Adam, AdamW') as string }),
    )
  })
})

describe('weight decay', () => {
  const groupsOf = (config: OptimizerConfig, parameters = named()) =>
    createOptimizer(parameters, config).groups.map(({ names, weightDecay }) => [weightDecay, names])

  test('excludeBiasNorm: biases, whatever is called norm, and tensors of one axis', () => {
    expect(groupsOf({ weightDecay: 0.1, excludeBiasNorm: true })).toEqual([
      [0.1, ['0.weight', '3.weight']],
      [0, ['0.bias', '1.weight', '1.bias', '3.bias']],
    ])
  })

  test.each([
    ['bias', 3, true],
    ['head.bias', 2, true],
    ['biased.weight', 2, false],
    ['block.LayerNorm.weight', 2, true],
    ['bn.weight', 1, true],
    ['scale', 0, true],
    ['pos_embed', 3, false],
  ])('%s of %i axes: %s', (name, ndim, expected) => {
    expect(isBiasOrNorm(name, { ndim })).toBe(expected)
  })

  test('by the number of axes, and by expressions found anywhere in the name', () => {
    expect(groupsOf({ weightDecay: 0.1, noWeightDecayNdim: 2 })).toEqual([
      [0.1, ['0.weight']],
      [0, ['0.bias', '1.weight', '1.bias', '3.weight', '3.bias']],
    ])
    expect(groupsOf({ weightDecay: 0.1, noWeightDecay: ['^3\\.', /BIAS/i] })).toEqual([
      [0.1, ['0.weight', '1.weight', '1.bias'].slice(0, 2)],
      [0, ['0.bias', '1.bias', '3.weight', '3.bias']],
    ])
  })

  test('a group that decays has the optimizer’s own weight decay where none is given', () => {
    expect(groupsOf({ excludeBiasNorm: true }).map(([decay]) => decay)).toEqual([0.01, 0])
  })

  test('frozen parameters and empty groups are left out', () => {
    const parameters = named()
    for (const [name, parameter] of parameters) parameter.requiresGrad = name === '3.bias'
    expect(groupsOf({ excludeBiasNorm: true }, parameters)).toEqual([[0, ['3.bias']]])
    for (const [, parameter] of parameters) parameter.requiresGrad = false
    expect(() => groupsOf({ excludeBiasNorm: true }, parameters)).toThrow(/no trainable parameter/)
  })

  test('groups keep their own options; without rules they stay what they are', () => {
    const params = [zeros([2, 2], { requiresGrad: true }), zeros([2], { requiresGrad: true })]
    const group = { params, names: ['weight', 'bias'], lr: 3, weightDecay: 0.5 }
    expect(splitByWeightDecay([group], { excludeBiasNorm: true })).toEqual([
      { params: [params[0]], names: ['weight'], lr: 3, weightDecay: 0.5 },
      { params: [params[1]], names: ['bias'], lr: 3, weightDecay: 0 },
    ])
    expect(splitByWeightDecay([{ params }], {})).toEqual([{ params }])
  })

  test('without names there is nothing to go by; an expression that is none is refused', () => {
    expect(() => splitByWeightDecay([{ params: [zeros([1])] }], { excludeBiasNorm: true })).toThrow(/names/)
    expect(() => groupsOf({ noWeightDecay: '(' })).toThrow(/noWeightDecay: "\(" is not a regular expression/)
    expect(() => groupsOf({ noWeightDecayNdim: 0.5 })).toThrow(/noWeightDecayNdim/)
  })
})
