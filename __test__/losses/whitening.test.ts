/** Whitening: what comes out has no correlation. Values and gradients are in the reference vectors. */
import { describe, expect, it } from 'vitest'
import { eigenWhiten, whitenedMse } from '../../src/losses/index.js'
import { eye, Generator, randn, zeros } from '../../src/tensor/index.js'

const covarianceOf = (z: ReturnType<typeof randn>) => {
  const centred = z.sub(z.mean(0, true))
  return centred
    .t()
    .matmul(centred)
    .div((z.shape[0] ?? 0) - 1)
}

describe('eigenWhiten', () => {
  it('leaves unit covariance and no mean', async () => {
    const generator = new Generator(1)
    const z = randn([64, 5], { generator })
      .matmul(randn([5, 5], { generator }))
      .add(3)
    const white = eigenWhiten(z, { eps: 1e-6 })
    expect(await covarianceOf(white).sub(eye(5)).abs().amax().item()).toBeLessThan(1e-4)
    expect(await white.mean(0).abs().amax().item()).toBeLessThan(1e-5)
  })

  it('keeps directions without variance finite', async () => {
    const z = randn([16, 3], { generator: new Generator(2) }).pad([0, 1])
    const white = eigenWhiten(z)
    expect(await white.select(1, 3).abs().amax().item()).toBeLessThan(1e-5)
  })

  it('refuses what has no covariance', () => {
    expect(() => eigenWhiten(zeros([1, 4]))).toThrow('two rows')
    expect(() => eigenWhiten(zeros([4]))).toThrow('[4]')
  })
})

describe('whitenedMse', () => {
  it('is zero for equal views and refuses views of different shapes', async () => {
    const z = randn([16, 4], { generator: new Generator(4) })
    expect(await whitenedMse(z, z).item()).toBe(0)
    expect(() => whitenedMse(z, zeros([8, 4]))).toThrow('[8, 4]')
  })
})
