import { expect, test } from 'vitest'
import { expectGradients, point } from './finite-differences.js'
import { randomFrom } from './plain-arrays.js'

test('a wrong gradient is noticed', async () => {
  const input = [point(randomFrom(1), 2, 3)]
  await expectGradients((x) => x.square().sum(), input)
  // What is detached has a difference but no gradient.
  await expect(expectGradients((x) => x.mul(x.detach()).sum(), input)).rejects.toThrow(/worst/)
})
