/** A loading process that is killed at some batch and started again gives the batches of one that was never stopped. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startScript } from '../cli/process.js'
import { temporaryFolder } from './fixtures.js'
import { checksum, epochs, makeLoader } from './loading-process.js'

async function uninterrupted(numWorkers: number): Promise<string[]> {
  const loader = await makeLoader(numWorkers)
  const lines: string[] = []
  for (let epoch = 0; epoch < epochs; epoch++) {
    loader.setEpoch(epoch)
    for await (const batch of loader) {
      const { batch: number } = loader.state()
      lines.push(`${epoch} ${number} ${await checksum(batch)}`)
    }
  }
  return lines
}

test('SIGKILL in the middle of an epoch, then the rest', { timeout: 120_000 }, async () => {
  const expected = await uninterrupted(1)
  expect(expected).toHaveLength(6 * epochs)
  expect(await uninterrupted(4)).toEqual(expected)

  const folder = await temporaryFolder()
  const script = join(import.meta.dirname, 'loading-process.ts')
  const lines = () => {
    const file = join(folder, 'lines.txt')
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []
  }
  const stop = 3 + Math.floor(Math.random() * 25)
  const first = startScript(script, [folder])
  while (lines().length < stop && first.process.exitCode === null) await sleep(2)
  first.process.kill('SIGKILL')
  expect((await first.end).signal).toBe('SIGKILL')
  expect(lines().length).toBeLessThan(expected.length)

  const second = await startScript(script, [folder]).end
  expect(second).toMatchObject({ status: 0 })
  // A batch whose place was not noted any more comes again, and is the same.
  const found = lines().filter((line, i, all) => line !== all[i - 1])
  expect(found).toEqual(expected)
})
