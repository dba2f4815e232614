/** Changing the element type of a network: all floating-point tensors, shared ones once, counters not. */
import { describe, expect, it } from 'vitest'
import { nn, rand, type Tensor } from '../../src/index.js'

describe('Module.to', () => {
  it('changes parameters and buffers, keeps names, order, values and what is frozen', async () => {
    const network = new nn.Sequential(new nn.Linear(4, 3), new nn.BatchNorm1d(3))
    network.getSubmodule('0').requiresGrad_(false)
    const before = [...network.stateDict()].map(([key, value]) => [key, value.requiresGrad] as const)
    const weight = await (network.stateDict().get('0.weight') as Tensor).data()
    expect(network.to('float64')).toBe(network)

    const after = network.stateDict()
    expect([...after].map(([key, value]) => [key, value.requiresGrad])).toEqual(before)
    const types = Object.fromEntries([...after].map(([key, value]) => [key, value.dtype]))
    expect(types).toMatchObject({
      '0.weight': 'float64',
      '1.running_mean': 'float64',
      '1.num_batches_tracked': 'int64',
    })
    expect(Array.from(await (after.get('0.weight') as Tensor).data(), Number)).toEqual(Array.from(weight, Number))
    expect(network.forward(rand([5, 4], { dtype: 'float64' })).dtype).toBe('float64')
  })

  it('leaves a parameter that two layers share shared', () => {
    const [first, second] = [new nn.Linear(2, 2), new nn.Linear(2, 2)]
    second.weight = first.weight
    new nn.Sequential(first, second).to('float64')
    expect(second.weight).toBe(first.weight)
  })
})
