/** Training on a GPU: the losses of the CPU, the same bits after a stop, and no memory left behind. Needs an adapter. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AdamW, LARS } from '../../src/optim/index.js'
import {
  emaUpdate,
  type GpuStatistics,
  gpuAdapters,
  gpuStatistics,
  limitGradNorm,
  randn,
} from '../../src/tensor/index.js'
import { collectGarbage } from '../../src/testing/garbage.js'
import type { Callback } from '../../src/train/callback.js'
import { loadCheckpoint } from '../../src/train/checkpoint.js'
import { Trainer } from '../../src/train/trainer.js'
import type { TrainerOptions } from '../../src/train/trainer-options.js'
import { TeacherStudentWrapper, updateTeachers } from '../../src/train/teacher-student.js'
import { flowers, smallBackbone, smallSimclr } from './setup.js'

const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'spt-gpu-'))))
afterAll(() => rm(folder, { recursive: true }))

/** Trains SimCLR on 18 photos; the losses of its steps and the trainer. */
async function train(options: TrainerOptions, ckptPath?: string) {
  const losses: number[] = []
  const logger = {
    print: () => undefined,
    logMetrics: (metrics: Record<string, number>) => {
      if (metrics['fit/loss_step'] !== undefined) losses.push(metrics['fit/loss_step'])
    },
  }
  const trainer = new Trainer({ logger, logEveryNSteps: 1, numSanityValSteps: 0, checkValEveryNEpoch: 50, ...options })
  await trainer.fit(smallSimclr(), await flowers({ numWorkers: 1 }), ckptPath === undefined ? {} : { ckptPath })
  return { losses, trainer }
}

/** Bits of the weights and of the momentum in a checkpoint. */
async function bits(path: string): Promise<Record<string, unknown>> {
  const { weights, state } = await loadCheckpoint(path)
  const entries = await Promise.all([...weights].map(async ([name, value]) => [name, await value.data()] as const))
  const { trainer, random, optimizers } = state as unknown as Record<string, unknown>
  return { ...Object.fromEntries(entries), trainer, random, optimizers: await values(optimizers) }
}

/** A tree with the values of its tensors. */
async function values(tree: unknown): Promise<unknown> {
  if (typeof tree !== 'object' || tree === null) return tree
  if ('data' in tree && typeof tree.data === 'function') return (tree as { data(): Promise<unknown> }).data()
  return Object.fromEntries(
    await Promise.all(Object.entries(tree).map(async ([key, value]) => [key, await values(value)] as const)),
  )
}

const after = (step: number, then: (trainer: Trainer) => void): Callback => ({
  name: 'watcher',
  onTrainBatchEnd: ({ trainer }) => void (trainer.globalStep === step && then(trainer)),
})

/** What a GPU does meanwhile. */
async function work(run: () => unknown): Promise<{ dispatches: number; read: number; uploads: number }> {
  const before = gpuStatistics('gpu')
  await run()
  const now = gpuStatistics('gpu')
  return {
    dispatches: now.dispatches - before.dispatches,
    read: now.downloadedBytes - before.downloadedBytes,
    uploads: now.uploadedBytes - before.uploadedBytes,
  }
}

/** Dispatches for that many parameters, each with so many tensors: a table takes one binding, sums another. */
const bounded = (parameters: number, tensors: number, others = 1): number =>
  Math.ceil(parameters / Math.max(1, Math.floor((Math.min(64, gpuAdapters()[0]!.bindings) - others) / tensors)))

describe.skipIf(!there)('on a GPU', () => {
  test('20 steps of SimCLR have the losses of the CPU within 1e-3', async () => {
    const [cpu, gpu] = [await train({ maxSteps: 20, device: 'cpu' }), await train({ maxSteps: 20, device: 'gpu' })]
    expect(gpu.losses).toHaveLength(20)
    expect(gpu.trainer.device).toBe('gpu:0')
    for (const [step, loss] of gpu.losses.entries()) expect(Math.abs(loss - cpu.losses[step]!)).toBeLessThan(1e-3)
  })

  test('stopped after 7 steps and gone on with, a run is bit for bit the one that was never stopped', async () => {
    const [whole, parts] = [join(folder, 'whole.ckpt'), join(folder, 'parts.ckpt')]
    const finish = async (path: string, ckptPath?: string) => {
      const { trainer } = await train({ maxSteps: 12, device: 'gpu' }, ckptPath)
      await trainer.saveCheckpoint(path)
    }
    await finish(whole)
    const stopping = new Trainer({
      maxSteps: 12,
      device: 'gpu',
      numSanityValSteps: 0,
      logger: { print: () => undefined, logMetrics: () => undefined },
      callbacks: [after(7, (trainer) => trainer.interrupt())],
    })
    stopping.checkpointPath = join(folder, 'stopped.ckpt')
    expect(await stopping.fit(smallSimclr(), await flowers({ numWorkers: 1 }))).toBe('interrupted')
    await finish(parts, stopping.checkpointPath)
    expect(await bits(parts)).toEqual(await bits(whole))
  })

  test('optimizers, clipping and averages take a few kernels for all parameters and read nothing', async () => {
    // A matrix of more elements than a workgroup has, a scalar, one without elements, and many small ones.
    const shapes = [[70, 40], [], [0, 3], ...Array.from({ length: 45 }, (_, i) => [1 + (i % 7), 3])]
    const weights = shapes.map((shape) => randn(shape))
    const gradients = shapes.map((shape) => randn(shape))
    const parameters = (device: 'cpu' | 'gpu') =>
      weights.map((weight, i) => {
        const own = weight.to(device).clone()
        own.requiresGrad = true
        own.setGrad(gradients[i]!.to(device).clone())
        return own
      })
    const same = async (
      ours: readonly { to(device: 'cpu'): { data(): Promise<ArrayLike<unknown>> } }[],
      theirs: typeof ours,
    ) => {
      for (const [i, one] of ours.entries()) {
        const [a, b] = [await one.to('cpu').data(), await theirs[i]!.to('cpu').data()]
        for (let k = 0; k < b.length; k += 1) expect(Number(a[k])).toBeCloseTo(Number(b[k]), 5)
      }
    }
    for (const Optimizer of [AdamW, LARS]) {
      const [cpu, gpu] = [parameters('cpu'), parameters('gpu')]
      const [one, other] = [cpu, gpu].map((all) => new Optimizer(all, { lr: 0.1, weightDecay: 0.01 }))
      for (let step = 0; step < 2; step += 1) {
        one!.step()
        const { dispatches, read } = await work(() => other!.step())
        expect(read).toBe(0)
        const norms = Optimizer === LARS ? bounded(2 * shapes.length, 1, 2) + 1 : 0
        expect(dispatches - (step === 0 ? 2 * shapes.length : 0)).toBeLessThanOrEqual(
          bounded(shapes.length, 4, 2) + norms,
        )
      }
      await same(gpu, cpu)
    }
    const [cpu, gpu] = [parameters('cpu'), parameters('gpu')]
    limitGradNorm(cpu, 0.5)
    const clipping = await work(() => limitGradNorm(gpu, 0.5))
    expect(clipping.read).toBe(0)
    expect(clipping.dispatches).toBeLessThanOrEqual(bounded(shapes.length, 1, 2) + bounded(shapes.length, 2, 2) + 2)
    await same(
      gpu.map((one) => one.grad!),
      cpu.map((one) => one.grad!),
    )
    emaUpdate(cpu, gradients, 0.9)
    const there = gradients.map((one) => one.to('gpu'))
    const averaging = await work(() => emaUpdate(gpu, there, 0.9))
    expect(averaging).toMatchObject({ read: 0 })
    expect(averaging.dispatches).toBeLessThanOrEqual(bounded(shapes.length, 2))
    await same(gpu, cpu)
  })

  test('a teacher follows without a look at a number of the GPU', async () => {
    const pair = new TeacherStudentWrapper(smallBackbone(), { baseEmaCoefficient: 0.5 }).to('gpu')
    expect([pair.emaCoefficient.device, pair.parameters()[0]?.device]).toEqual(['cpu', 'gpu:0'])
    const moving = () => updateTeachers([pair], 1, { epoch: 0, maxEpochs: 2, totalSteps: 4 })
    await moving()
    const { dispatches, read } = await work(moving)
    // Weights in one kernel, counts of batches in another.
    expect([dispatches, read]).toEqual([2, 0])
  })

  test('a step submits once and reads back one number; 300 steps leave buffers and bytes where they were', async () => {
    // What the tests before left behind otherwise goes at any moment of this one.
    await collectGarbage()
    const seen: GpuStatistics[] = []
    const watch = (step: number) => ({ ...after(step, () => seen.push(gpuStatistics('gpu'))), name: `at ${step}` })
    const callbacks = [watch(40), watch(41), watch(340)]
    await train({ maxSteps: 340, device: 'gpu', callbacks })
    const [first, next, last] = seen as [GpuStatistics, GpuStatistics, GpuStatistics]
    expect(next.submissions - first.submissions).toBe(1)
    expect(next.downloadedBytes - first.downloadedBytes).toBe(4)
    expect(next.dispatches - first.dispatches).toBeLessThan(90)
    expect([last.liveBuffers, last.liveBytes, last.peakBytes, last.pipelines]).toEqual([
      first.liveBuffers,
      first.liveBytes,
      first.peakBytes,
      first.pipelines,
    ])
  })
})
