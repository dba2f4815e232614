/** The module tree: names and order as PyTorch's, loading, hooks, modes. */
import { describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { memory, ones, randn, scope, type Tensor, zeros } from '../../src/tensor/index.js'
import { numbers } from './close.js'

class Net extends nn.Module {
  readonly scale: Tensor
  convStem = new nn.Conv2d(3, 4, 3)
  blocks: nn.Layer[] = [new nn.BatchNorm2d(4), new nn.ReLU()]
  readonly runningCount: Tensor
  readonly table: Tensor
  tail: nn.Linear | null = null

  constructor() {
    super()
    this.scale = nn.parameter(ones([4]))
    this.runningCount = this.registerBuffer('runningCount', zeros([1]))
    this.table = this.registerBuffer('table', zeros([2]), { persistent: false })
  }

  forward(x: Tensor): Tensor {
    return this.blocks.reduce((y, block) => block.forward(y), this.convStem.forward(x))
  }
}

describe('names', () => {
  test('parameters and buffers of a module come before those of its children; fields in snake_case', () => {
    expect([...new Net().stateDict().keys()]).toEqual([
      'scale',
      'running_count',
      'conv_stem.weight',
      'conv_stem.bias',
      'blocks.0.weight',
      'blocks.0.bias',
      'blocks.0.running_mean',
      'blocks.0.running_var',
      'blocks.0.num_batches_tracked',
    ])
  })

  test('a buffer that is not persistent moves with the module and is not saved', () => {
    const net = new Net()
    expect([...net.namedBuffers()].map(([name]) => name)).toContain('table')
    expect(net.stateDict().has('table')).toBe(false)
    expect([...net.namedParameters()].map(([name]) => name)).not.toContain('running_count')
  })

  test('containers: numbers, or the given names', () => {
    const dict = new nn.ModuleDict<nn.Layer>({ left: new nn.Linear(1, 1), right: new nn.Linear(1, 1, { bias: false }) })
    dict.set('camelCase', new nn.PReLU())
    expect([...dict.stateDict().keys()]).toEqual(['left.weight', 'left.bias', 'right.weight', 'camelCase.weight'])
    const list = new nn.ModuleList([new nn.PReLU()])
    list.push(new nn.PReLU())
    expect([[...list.stateDict().keys()], list.length]).toEqual([['0.weight', '1.weight'], 2])
    expect(() => list.forward()).toThrow('a ModuleList has no forward; call its items')
    expect(() => new nn.Sequential(new nn.ReLU()).at(3)).toThrow('Sequential has 1 layers, none at 3')
  })

  test('a shared module has its parameters once, and both its names in the state dict', () => {
    const shared = new nn.Linear(2, 2)
    const twice = new nn.Sequential(shared, shared)
    expect([...twice.namedParameters()].map(([name]) => name)).toEqual(['0.weight', '0.bias'])
    expect([...twice.stateDict().keys()]).toEqual(['0.weight', '0.bias', '1.weight', '1.bias'])
  })
})

describe('loading', () => {
  test('what does not fit is told completely, and nothing changes', async () => {
    const net = new nn.Sequential(new nn.Linear(2, 3), new nn.Linear(3, 1))
    const before = await numbers(net.parameters()[0] as Tensor)
    const state = { '0.weight': zeros([3, 2]), '0.bias': zeros([4]), '1.weight': zeros([1, 3]), more: zeros([1]) }
    expect(() => net.loadStateDict(state)).toThrow(
      expect.objectContaining({
        code: 'ERR_CHECKPOINT',
        message:
          'state dict does not fit Sequential\nmissing keys: 1.bias\nunexpected keys: more\n' +
          'mismatched shapes: 0.bias has shape [4], expected [3]',
      }),
    )
    expect(await numbers(net.parameters()[0] as Tensor)).toEqual(before)
  })

  test('without strict, missing and unexpected keys are returned', async () => {
    const net = new nn.Linear(1, 2)
    expect(net.loadStateDict({ weight: ones([2, 1]), other: zeros([1]) }, { strict: false })).toEqual({
      missing: ['bias'],
      unexpected: ['other'],
    })
    expect(await numbers(net.weight)).toEqual([1, 1])
  })

  test('the tensors stay the module’s own: an optimizer that holds them goes on', () => {
    const net = new nn.Linear(1, 2)
    const { weight } = net
    net.loadStateDict(new nn.Linear(1, 2).stateDict())
    expect(net.weight).toBe(weight)
    expect(net.weight.requiresGrad).toBe(true)
  })
})

describe('modes', () => {
  test('train and eval reach everything below', () => {
    const net = new nn.Sequential(new nn.ModuleList([new nn.Dropout()]) as unknown as nn.Layer, new nn.BatchNorm2d(1))
    net.eval()
    expect(net.modules().map(({ training }) => training)).toEqual([false, false, false, false])
    expect(net.train()).toBe(net)
    expect(net.modules().every(({ training }) => training)).toBe(true)
  })

  test('batch norm: statistics of the batch in training, running ones in evaluation, of the batch without any', async () => {
    const x = randn([64, 2]).mul(3).add(5)
    const norm = new nn.BatchNorm1d(2, { momentum: 1 })
    const mean = async (y: Tensor) => (await numbers(y.mean(0))).map((value) => Math.abs(value) < 0.1)
    expect(await mean(norm.eval().forward(x))).toEqual([false, false])
    expect(await mean(norm.train().forward(x))).toEqual([true, true])
    expect(await mean(norm.eval().forward(x))).toEqual([true, true])
    expect(await mean(new nn.BatchNorm1d(2, { trackRunningStats: false }).eval().forward(x))).toEqual([true, true])
  })

  test('BatchNorm1dNoBias: the bias is saved and not trained', () => {
    const norm = new nn.BatchNorm1dNoBias(3)
    expect([norm.bias?.requiresGrad, norm.weight?.requiresGrad, norm.stateDict().has('bias')]).toEqual([
      false,
      true,
      true,
    ])
  })
})

describe('hooks', () => {
  test('see inputs and output in the order they came, may replace the output, and go away', async () => {
    const layer = new nn.ReLU()
    const seen: string[] = []
    const remove = [
      layer.registerForwardHook(([x], y) => {
        seen.push(`first ${(x as Tensor).shape.join()}`)
        return y.add(1)
      }),
      layer.registerForwardHook(() => void seen.push('second')),
    ]
    expect(await numbers(new nn.Sequential(layer).forward(zeros([2])))).toEqual([1, 1])
    expect(seen).toEqual(['first 2', 'second'])
    for (const each of remove) each()
    expect(await numbers(layer.forward(zeros([2])))).toEqual([0, 0])
    expect(seen.length).toBe(2)
  })
})

test('parameters and buffers survive the scope that made their module; what a forward makes does not', () => {
  const net = scope(() => {
    const made = new Net()
    return { made }
  }).made
  const live = memory().liveBuffers
  scope(
    () =>
      void net
        .eval()
        .forward(randn([1, 3, 5, 5]))
        .sum(),
  )
  expect(memory().liveBuffers).toBe(live)
})
