/** Every method takes the same steps on a GPU as on the CPU, up to rounding; skipped where there is no Vulkan driver. */
import { expect, test } from 'vitest'
import { gpuAdapters, scope } from '../../../src/index.js'
import { methods, train } from './photos.js'

const known = methods.map((definition) => [definition.name, definition] as const)

test.runIf(gpuAdapters().length > 0).each(known)('%s', { timeout: 120_000 }, async (_, definition) => {
  await scope(async () => {
    const { losses: found } = await train(definition, 2, { device: 'gpu' })
    const { losses: expected } = await train(definition, 2)
    expect(found).toHaveLength(2)
    // Behind a step of an optimizer that takes gradients of any size for equal, rounding counts for more.
    const tolerances = [1e-4, 2e-3]
    for (const [step, loss] of expected.entries()) {
      expect(Math.abs(found[step]! / loss - 1), `step ${step}`).toBeLessThan(tolerances[step]!)
    }
  })
})
