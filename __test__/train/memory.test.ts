import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('1,000 steps leave live tensors and bytes where they were, and the process within 3 %', async () => {
  const script = fileURLToPath(new URL('thousand-steps.ts', import.meta.url))
  // V8 doubles the room for young objects whenever it likes; held at one size, only a leak can grow the process.
  const flags = ['--expose-gc', '--min-semi-space-size=4', '--max-semi-space-size=4', '--import', 'tsx']
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, script])
  const lines = stdout.trim().split('\n')
  const [first, last] = lines.map(
    (line) => JSON.parse(line) as Record<'step' | 'buffers' | 'bytes' | 'resident', number>,
  )
  expect([first?.step, last?.step]).toEqual([300, 1300])
  expect(last?.buffers).toBe(first?.buffers)
  expect(last?.bytes).toBe(first?.bytes)
  expect((last?.resident ?? Infinity) / (first?.resident ?? 1)).toBeLessThan(1.03)
}, 120_000)
