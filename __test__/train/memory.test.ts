import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { gpuAdapters } from '../../src/tensor/index.js'

const gpus = gpuAdapters().length > 0 ? ['gpu'] : []
if (gpus.length === 0) console.warn('SKIPPED on a GPU: no adapter')

test.each(['cpu', ...gpus])(
  '1,000 steps on the %s leave live buffers and bytes flat',
  { timeout: 300_000 },
  async (device) => {
    const script = fileURLToPath(new URL('thousand-steps.ts', import.meta.url))
    // V8 doubles the room for young objects whenever it likes; held at one size, only a leak can grow the process.
    const flags = ['--expose-gc', '--min-semi-space-size=4', '--max-semi-space-size=4', '--import', 'tsx']
    const args = device === 'cpu' ? [] : [device]
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, ...args])
    const lines = stdout.trim().split('\n')
    const [first, last] = lines.map(
      (line) => JSON.parse(line) as Record<'step' | 'buffers' | 'bytes' | 'resident', number>,
    )
    expect([first?.step, last?.step]).toEqual([300, 1300])
    expect(last?.buffers).toBe(first?.buffers)
    expect(last?.bytes).toBe(first?.bytes)
    expect((last?.resident ?? Infinity) / (first?.resident ?? 1)).toBeLessThan(1.03)
  },
)
