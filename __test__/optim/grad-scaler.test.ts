/** GradScaler against torch.amp.GradScaler. */
import { expect, test } from 'vitest'
import { GradScaler, SGD } from '../../src/optim/index.js'
import { type Tensor, tensor } from '../../src/tensor/index.js'

/** One parameter and its optimizer. */
function setup() {
  const x = tensor([1], { requiresGrad: true })
  return { x, optimizer: new SGD([x], { lr: 0.5 }) }
}

async function only(x: Tensor): Promise<number> {
  return Number((await x.data())[0])
}

test('a loss is scaled, gradients are unscaled, and a step is that without a scaler', async () => {
  const { x, optimizer } = setup()
  const scaler = new GradScaler({ initScale: 1024 })
  scaler.scale(x.mul(3).sum()).backward()
  expect(await only(x.grad!)).toBe(3072)
  expect(scaler.step(optimizer)).toBe(true)
  expect(await only(x.grad!)).toBe(3)
  expect(await only(x)).toBe(-0.5)
})

test('scales and weights follow PyTorch through overflow, backoff and growth', async () => {
  const { x, optimizer } = setup()
  const scaler = new GradScaler({ initScale: 8, growthInterval: 2 })
  const seen: number[][] = []
  for (const factor of [1, 1, Infinity, 1, NaN, 1, 1, 1]) {
    scaler.scale(x.mul(factor).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zeroGrad()
    seen.push([scaler.getScale(), await only(x)])
  }
  // What torch.amp.GradScaler(device='cpu', init_scale=8, growth_interval=2) with SGD(lr=0.5) gave for these losses.
  expect(seen).toEqual([
    [8, 0.5],
    [16, 0],
    [8, 0],
    [8, -0.5],
    [4, -0.5],
    [4, -1],
    [8, -1.5],
    [8, -2],
  ])
})

test('gradients are averaged over a window, and unscaled once', async () => {
  const { x, optimizer } = setup()
  const scaler = new GradScaler({ initScale: 4 })
  for (const factor of [1, 5]) scaler.scale(x.mul(factor).sum()).backward()
  expect(scaler.unscale(optimizer, 2)).toBe(3)
  expect(await only(x.grad!)).toBe(3)
  expect(() => scaler.unscale(optimizer)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
  scaler.step(optimizer)
  scaler.update()
  expect(await only(x)).toBe(-0.5)
  scaler.unscale(optimizer)
})

test('its state goes on where it was', () => {
  const scaler = new GradScaler({ growthInterval: 3 })
  scaler.loadStateDict({ scale: 32, growthTracker: 2 })
  expect(scaler.stateDict()).toEqual({ scale: 32, growthTracker: 2 })
  const { x, optimizer } = setup()
  scaler.scale(x.sum()).backward()
  scaler.step(optimizer)
  scaler.update()
  expect(scaler.stateDict()).toEqual({ scale: 64, growthTracker: 0 })
})

test.each([
  { initScale: 0 },
  { initScale: Infinity },
  { growthFactor: 1 },
  { backoffFactor: 1 },
  { growthInterval: 0.5 },
])('%o is refused', (options) => {
  expect(() => new GradScaler(options)).toThrow(expect.objectContaining({ code: 'ERR_ARGUMENT' }))
})
