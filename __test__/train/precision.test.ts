/** Training in mixed precision: it follows float32, resumes bit for bit, and says where the processor has none. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { NTXEntLoss } from '../../src/losses/index.js'
import { SGD } from '../../src/optim/index.js'
import {
  autocast,
  cpuInfo,
  type DeviceName,
  forceInstructionSet,
  gpuAdapters,
  manualSeed,
  randn,
  scope,
  type Tensor,
} from '../../src/tensor/index.js'
import type { Logger } from '../../src/train/callback.js'
import { Trainer } from '../../src/train/trainer.js'
import type { Precision } from '../../src/train/trainer-options.js'
import { flowers, smallSimclr } from './setup.js'

afterEach(() => forceInstructionSet(null))

async function train(
  precision: Precision,
  more: { epochs?: number; save?: string; ckptPath?: string; stopAt?: number; device?: DeviceName } = {},
) {
  const losses: number[] = []
  const lines: string[] = []
  const logger: Logger = {
    logMetrics: (metrics) => void ('fit/loss_step' in metrics && losses.push(metrics['fit/loss_step'] as number)),
    print: (line) => void lines.push(line),
  }
  const { epochs = 4, save, ckptPath, stopAt, device = 'cpu' } = more
  const stop = { name: 'stop', onTrainBatchEnd: () => void (trainer.globalStep === stopAt && trainer.interrupt()) }
  const trainer: Trainer = new Trainer({
    maxEpochs: epochs,
    logEveryNSteps: 1,
    precision,
    device,
    logger,
    callbacks: [stop],
  })
  trainer.checkpointPath = save
  const module = smallSimclr()
  await trainer.fit(module, await flowers(), ckptPath === undefined ? {} : { ckptPath })
  const weights: Record<string, unknown> = {}
  for (const [name, value] of module.stateDict()) weights[name] = [value.dtype, await value.data()]
  return { losses, lines, weights, mixed: trainer.mixed, scaler: trainer.scaler?.stateDict() }
}

const KINDS = [
  {
    precision: 'bf16-mixed',
    device: 'cpu',
    dtype: 'bfloat16',
    absent: cpuInfo().bfloat16 ? '' : ' (skipped: this processor has no avx512_bf16)',
  },
  {
    precision: '16-mixed',
    device: 'gpu',
    dtype: 'float16',
    absent: gpuAdapters().length > 0 ? '' : ' (skipped: there is no GPU adapter)',
  },
] as const

describe.each(KINDS)('$precision on $device$absent', ({ precision, device, dtype, absent }) => {
  test.skipIf(absent !== '')('follows float32: losses within 2 %, weights float32', async () => {
    const [mixed, plain] = [await train(precision, { device }), await train('32-true', { device })]
    expect([mixed.mixed, plain.mixed, mixed.losses.length]).toEqual([dtype, null, 16])
    expect(mixed.losses).not.toEqual(plain.losses)
    const apart = mixed.losses.map((loss, i) => Math.abs(loss / (plain.losses[i] as number) - 1))
    expect(Math.max(...apart)).toBeLessThan(0.02)
    const types = Object.values(mixed.weights).map((value) => (value as [string])[0])
    expect(types.filter((dtype) => !['float32', 'int64'].includes(dtype))).toEqual([])
    expect(mixed.lines.filter((line) => line.includes('precision'))).toEqual([])
  })

  test.skipIf(absent !== '')('resumes bit for bit, the scale of the loss too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'spt-precision-'))
    const save = join(folder, 'last.ckpt')
    const whole = await train(precision, { device })
    const first = await train(precision, { device, stopAt: 7, save })
    const second = await train(precision, { device, ckptPath: save })
    expect([...first.losses, ...second.losses]).toEqual(whole.losses)
    expect(second.weights).toEqual(whole.weights)
    expect(second.scaler).toEqual(whole.scaler)
    expect(second.scaler === undefined).toBe(precision !== '16-mixed')
    await rm(folder, { recursive: true })
  })
})

test('16-mixed on a CPU is an error that says what to do', async () => {
  await expect(train('16-mixed')).rejects.toMatchObject({
    code: 'ERR_UNSUPPORTED',
    hint: expect.stringContaining('bf16-mixed'),
  })
})

test('without such a processor it trains in float32, bit for bit, and says so once', async () => {
  forceInstructionSet('portable')
  const [asked, plain] = [await train('bf16-mixed', { epochs: 1 }), await train('32-true', { epochs: 1 })]
  expect(asked.mixed).toBe(null)
  expect(asked.lines.filter((line) => line.includes('bf16-mixed'))).toHaveLength(1)
  expect(asked.weights).toEqual(plain.weights)
})

test('a vision transformer follows float32 for ten steps: losses within 2 %', async () => {
  const run = async (mixed: boolean): Promise<number[]> => {
    manualSeed(1)
    const vit = new nn.VisionTransformer({
      imgSize: 16,
      patchSize: 4,
      embedDim: 32,
      depth: 2,
      numHeads: 2,
      numClasses: 0,
    })
    const optimizer = new SGD(vit.parameters(), { lr: 0.002 })
    const loss = new NTXEntLoss({ temperature: 0.5 })
    const [first, second] = [randn([8, 3, 16, 16]), randn([8, 3, 16, 16])]
    const losses: number[] = []
    for (let step = 0; step < 10; step++) {
      await scope(async () => {
        const forward = (): Tensor => loss.forward(vit.forward(first), vit.forward(second))
        const value = mixed ? autocast('bfloat16', forward) : forward()
        expect(value.dtype).toBe('float32')
        value.backward()
        optimizer.step()
        optimizer.zeroGrad()
        losses.push(await value.item())
      })
    }
    return losses
  }
  const [mixed, plain] = [await run(true), await run(false)]
  expect(Math.max(...mixed.map((loss, i) => Math.abs(loss / (plain[i] as number) - 1)))).toBeLessThan(0.02)
  expect(mixed.at(-1)).toBeLessThan(mixed[0] as number)
})
