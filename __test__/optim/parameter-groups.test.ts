/** Parameter groups by rules over names. */
import { expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { AdamW, parameterGroups } from '../../src/optim/index.js'
import { randn } from '../../src/tensor/index.js'

const model = () => new nn.Sequential(nn.mlp([2, 3, 2]), new nn.LayerNorm(2), new nn.Linear(2, 1))

test('the first rule that matches takes a parameter; the rest comes first, without options', () => {
  const groups = parameterGroups(model(), [
    { match: /bias$/, weightDecay: 0 },
    { match: '0', lr: 1e-4 },
  ])
  expect(groups.map(({ names, params: _, ...options }) => ({ names, ...options }))).toEqual([
    { names: ['1.weight', '2.weight'] },
    { names: ['0.0.bias', '0.3.bias', '1.bias', '2.bias'], weightDecay: 0 },
    { names: ['0.0.weight', '0.3.weight'], lr: 1e-4 },
  ])
})

test('an optimizer takes them, and a rate of 0 leaves its layers alone', async () => {
  const network = model()
  const optimizer = new AdamW(parameterGroups(network, [{ match: /^0\./, lr: 0 }]), { lr: 0.1 })
  const state = () =>
    Promise.all(network.parameters().map(async (parameter) => [...(await parameter.data())].map(Number)))
  const before = await state()
  network
    .forward(randn([4, 2]))
    .square()
    .sum()
    .backward()
  optimizer.step()
  const after = await state()
  const moved = after.map((values, index) => values.some((value, place) => value !== before[index]?.[place]))
  expect(moved).toEqual([false, false, false, false, true, true, true, true])
})

test('frozen parameters are left out, empty groups too; nothing trainable is an error', () => {
  const network = model()
  nn.freeze(network, '0')
  expect(parameterGroups(network, [{ match: '0', lr: 1 }]).map(({ names }) => names)).toEqual([
    ['1.weight', '1.bias', '2.weight', '2.bias'],
  ])
  nn.freeze(network)
  expect(() => parameterGroups(network, [])).toThrow('parameterGroups: no parameter of Sequential is trainable')
})

test('a rule that matches nothing is refused', () => {
  expect(() => parameterGroups(model(), [{ match: /conv/, lr: 1 }])).toThrow(
    'parameterGroups: no parameter of Sequential matches /conv/',
  )
})
