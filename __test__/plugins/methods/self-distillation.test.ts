/** DINO, iBOT and SwAV in what their papers say of schedules, guards and queues. */
import { describe, expect, test, vi } from 'vitest'
import type { DINOv1Loss, RowQueue } from '../../../src/losses/index.js'
import type { Linear, Module } from '../../../src/nn/index.js'
import type { Method } from '../../../src/plugin/contracts.js'
import { scope, type Tensor } from '../../../src/tensor/index.js'
import type { TeacherStudentWrapper } from '../../../src/train/index.js'
import { AdamW } from '../../../src/optim/index.js'
import { crops, fit, images, list, make, manualSeed, place, steps, trained } from './run.js'

const head = { projector_hidden_dim: 16, projector_bottleneck_dim: 8, n_prototypes: 12 }
const lastOf = (method: Method): Tensor =>
  (method.modules['projector'] as TeacherStudentWrapper).student.stateDict().get('6.weight')!

describe('dino', () => {
  test('leaves the prototypes alone in the first epoch, and trains them afterwards', async () => {
    const method = await make({ type: 'dino', ...head })
    const gradAt = async (epoch: number): Promise<Tensor | null> => {
      const { loss } = await fit(method, crops(0), place(0, epoch))
      loss.backward()
      return lastOf(method).grad ?? null
    }
    expect(await gradAt(0)).toBeNull()
    expect(await gradAt(1)).not.toBeNull()
  })

  test('with normLastLayer prototypes have length 1, for good', async () => {
    const method = await make({ type: 'dino', ...head, norm_last_layer: true, freeze_last_layer: 0 })
    await steps(method, 0, 3)
    const { student } = method.modules['projector'] as TeacherStudentWrapper
    expect(await list(student.stateDict().get('6.weight_g')!)).toEqual(Array(12).fill(1))
    const last = (student as unknown as { at(index: number): Linear }).at(-1)
    for (const length of await list(last.weight.norm(2, 1))) expect(length).toBeCloseTo(1, 5)
  })

  test('warms the temperature of the teacher up', async () => {
    const method = await make({ type: 'dino', ...head, warmup_epochs_temperature_teacher: 10 })
    const asked = vi.spyOn(method.modules['dinoLoss'] as DINOv1Loss, 'softmaxCenterTeacher')
    for (const epoch of [0, 5, 10, 20]) await fit(method, crops(0), place(0, epoch))
    expect(asked.mock.calls.map(([, temperature]) => temperature)).toEqual([0.04, expect.closeTo(0.055), 0.07, 0.07])
  })

  test('its embedding and targets are the teacher’s of the global crops', async () => {
    const method = await make({ type: 'dino', ...head })
    await steps(method, 0, 2, { lr: 0.5 })
    const { embedding } = await fit(method, crops(5, 2))
    const { teacher, student } = method.modules['backbone'] as TeacherStudentWrapper
    const seen = (network: Module) => network.forward(images(5, 16, 1))
    expect(await list(embedding.narrow(0, 8, 8))).toEqual(await list(seen(teacher)))
    expect(await list(embedding.narrow(0, 8, 8))).not.toEqual(await list(seen(student)))
  })

  /** Entropy of the mean of the teacher's targets, and mean entropy of each, as shares of the largest possible. */
  async function spread(
    change: (method: Method) => void,
    options: object = {},
  ): Promise<{ ofMean: number; each: number }> {
    manualSeed(0)
    const method = await make({ type: 'dino', ...head, ema_decay_start: 0.9, freeze_last_layer: 0, ...options })
    change(method)
    await steps(method, 0, 60, { optimizer: new AdamW([{ params: trained(method) }], { lr: 3e-3 }) })
    const loss = method.modules['dinoLoss'] as DINOv1Loss
    const asked = vi.spyOn(loss, 'softmaxCenterTeacher')
    return scope(async () => {
      await fit(method, crops(0))
      const targets = (asked.mock.results[0]!.value as Tensor).reshape([-1, 12])
      const entropy = (p: Tensor) => p.mul(p.add(1e-12).log()).sum(-1).mean().neg().div(Math.log(12)).item()
      return { ofMean: await entropy(targets.mean(0)), each: await entropy(targets) }
    })
  }

  test('collapses to one prototype without centring, to all alike without sharpening, and does neither with both', async () => {
    const whole = await spread(() => undefined)
    expect(whole.ofMean).toBeGreaterThan(0.3)
    expect(whole.each).toBeLessThan(0.95)
    const uncentred = await spread((method) =>
      vi.spyOn(method.modules['dinoLoss'] as DINOv1Loss, 'updateCenter').mockImplementation(() => undefined),
    )
    expect(uncentred.ofMean).toBeLessThan(0.1)
    const unsharpened = await spread(() => undefined, { temperature_teacher_warmup: 1, temperature_teacher: 1 })
    expect(unsharpened.each).toBeGreaterThan(0.99)
  })
})

describe('swav', () => {
  const options = { projector_dims: [16, 8], n_prototypes: 12, queue_length: 24, start_queue_at_epoch: 2 }

  test('fills its queue from its epoch on, and uses it once it is full', async () => {
    const method = await make({ type: 'swav', ...options })
    const queue = method.modules['queue'] as RowQueue
    const used = vi.spyOn(queue, 'rows')
    await fit(method, crops(0), place(0, 1))
    expect(queue.length).toBe(0)
    for (const step of [1, 2, 3]) await fit(method, crops(step), place(step, 2))
    expect(queue.length).toBe(24)
    used.mockClear()
    await fit(method, crops(4), place(4, 2))
    expect(used).toHaveBeenCalled()
  })

  test('prototypes have length 1 at every step, and do not move in the first epoch', async () => {
    const method = await make({ type: 'swav', ...options })
    const { weight } = method.modules['prototypes'] as Linear
    const { loss } = await fit(method, crops(0, 2), place(0, 0))
    loss.backward()
    expect(weight.grad ?? null).toBeNull()
    for (const length of await list(weight.norm(2, 1))) expect(length).toBeCloseTo(1, 5)
    ;(await fit(method, crops(0, 2), place(0, 1))).loss.backward()
    expect(weight.grad).not.toBeNull()
  })
})
