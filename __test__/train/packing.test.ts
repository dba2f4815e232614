import { expect, test } from 'vitest'
import { pack, unpack } from '../../src/train/packing.js'
import { tensor, type Tensor } from '../../src/tensor/index.js'

test('a nested state survives, numbers that JSON cannot hold included', () => {
  const rows = tensor([1, 2, 3])
  const state = {
    best: -Infinity,
    missing: NaN,
    zero: -0,
    position: 2n ** 60n,
    none: null,
    list: [1, 'two', { deep: rows }],
  }
  const { json, tensors } = pack(state, 'callbacks/probe')
  expect([...tensors.keys()]).toEqual(['callbacks/probe/list/2/deep'])
  const back = unpack(JSON.parse(JSON.stringify(json)), (name) => tensors.get(name) as Tensor) as typeof state
  expect(back).toEqual(state)
  expect(Object.is(back.zero, -0)).toBe(true)
})

test('what a checkpoint cannot keep is named with its place', () => {
  const act = () => pack({ inner: { hook: (() => 1) as never } }, 'callbacks')
  expect(act).toThrow(/callbacks\/inner\/hook holds a function/)
})

test('members that are undefined are left out', () => {
  expect(pack({ given: 1, absent: undefined }, 'x').json).toEqual({ given: 1 })
})
