/** Each sentence of the assignment of parameters to optimizers. */
import { expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { assignParameters } from '../../src/optim/index.js'
import { zeros, type Tensor } from '../../src/tensor/index.js'

class Blocks extends nn.Module {
  readonly blocks = [new nn.Linear(2, 2), new nn.Linear(2, 2)]
  readonly norm = new nn.LayerNorm(2)
  forward(input: Tensor): Tensor {
    return this.blocks.reduce((x, block) => block.forward(x), input)
  }
}

class Network extends nn.Module {
  readonly encoder = new Blocks()
  readonly projector = new nn.Linear(2, 2)
  readonly encoderHead = new nn.Linear(2, 2)
  readonly scale = nn.parameter(zeros([1]))
  readonly callbacksModules = new nn.ModuleDict({ probe: new nn.Linear(2, 2) })
  forward(input: Tensor): Tensor {
    return input
  }
}

const assigned = (rules: Record<string, string | RegExp>, root: nn.Module = new Network()): Record<string, string[]> =>
  Object.fromEntries(
    [...assignParameters(root, rules)].map(([name, { parameters }]) => [name, parameters.map(([known]) => known)]),
  )

const encoder = [
  'encoder.blocks.0.weight',
  'encoder.blocks.0.bias',
  'encoder.blocks.1.weight',
  'encoder.blocks.1.bias',
  'encoder.norm.weight',
  'encoder.norm.bias',
]

test('children go with their parent, and what nothing matches stays out', () => {
  expect(assigned({ body: 'encoder$' })).toEqual({ body: encoder })
})

test('an expression matches at the start of a name, as Python’s re.match', () => {
  expect(assigned({ heads: 'head', rest: 'projector' })).toEqual({
    heads: [],
    rest: ['projector.weight', 'projector.bias'],
  })
  expect(assigned({ all: 'encoder' })['all']).toEqual([...encoder, 'encoder_head.weight', 'encoder_head.bias'])
  expect(assigned({ heads: '.*head' })['heads']).toEqual(['encoder_head.weight', 'encoder_head.bias'])
})

test('alternatives are tied to the start together', () => {
  expect(assigned({ two: 'projector|encoder_head' })['two']).toHaveLength(4)
  expect(assigned({ none: 'x|head' })['none']).toEqual([])
})

test('the first rule that matches wins, in the order they are written', () => {
  expect(assigned({ first: 'encoder\\.blocks', second: 'encoder' })).toEqual({
    first: encoder.slice(0, 4),
    second: [...encoder.slice(4), 'encoder_head.weight', 'encoder_head.bias'],
  })
  expect(assigned({ first: 'encoder', second: 'encoder\\.blocks' })['second']).toEqual([])
})

test('a match of its own takes a module from its parent’s optimizer, and its children with it', () => {
  const rules = { norms: 'encoder\\.norm', last: 'encoder\\.blocks\\.1', body: 'encoder$' }
  expect(assigned(rules)).toEqual({
    norms: ['encoder.norm.weight', 'encoder.norm.bias'],
    last: ['encoder.blocks.1.weight', 'encoder.blocks.1.bias'],
    body: ['encoder.blocks.0.weight', 'encoder.blocks.0.bias'],
  })
})

test('an array of modules has a name that can match, and passes its parent’s optimizer on', () => {
  expect(assigned({ list: 'encoder\\.blocks$' })['list']).toEqual(encoder.slice(0, 4))
})

test('.* matches the root, whose own parameters no other expression reaches', () => {
  expect(assigned({ all: '.*' })['all']).toEqual([
    'scale',
    ...encoder,
    'projector.weight',
    'projector.bias',
    'encoder_head.weight',
    'encoder_head.bias',
  ])
  expect(Object.values(assigned({ a: 'encoder', b: 'projector' })).flat()).not.toContain('scale')
})

test('a top-level module does not inherit from the root', () => {
  expect(assigned({ root: '$' })).toEqual({ root: ['scale'] })
})

test('modules of callbacks are in no assignment', () => {
  expect(assigned({ all: '.*', probes: 'callbacks_modules' })['probes']).toEqual([])
  expect(assigned({ all: '.*' })['all']?.filter((name) => name.startsWith('callbacks_'))).toEqual([])
})

test('a rule that takes nothing is in the result, for whoever warns of it', () => {
  expect(assigned({ ghost: 'nothing' })).toEqual({ ghost: [] })
})

test('a parameter that two modules share goes with the first', () => {
  const root = new Network()
  ;(root.projector as { weight: Tensor }).weight = root.encoder.blocks[0]!.weight
  expect(assigned({ all: '.*' }, root)['all']).not.toContain('projector.weight')
})

test('regular expressions come as such too, and Python’s (?i) is understood', () => {
  expect(assigned({ body: /PROJECTOR/i })['body']).toHaveLength(2)
  expect(assigned({ body: '(?i)PROJECTOR' })['body']).toHaveLength(2)
  expect(assigned({ body: /projector/g })['body']).toHaveLength(2)
})

test('an expression that is none is an error with its rule', () => {
  expect(() => assigned({ body: '(' })).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT', message: expect.stringMatching(/"body": "\(" is not/) }),
  )
})
