import { access, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { watchSignals } from '../../src/train/signals.js'
import { type Finished, start, tiny } from './process.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-signals-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Starts a run in a process of its own and sends it a signal when it has trained for an epoch. */
function stopBy(signal: NodeJS.Signals): Promise<Finished> {
  const run = start(['run', tiny, `cache_dir=${folder}`, 'trainer.max_epochs=100000'])
  let sent = false
  const look = () => {
    if (!sent && /epoch 2/.test(run.output())) sent = run.process.kill(signal)
  }
  for (const stream of [run.process.stdout, run.process.stderr]) stream?.on('data', look)
  return run.end
}

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s saves, says how to go on, and ends with status %i', { timeout: 120_000 }, async (signal, status) => {
  const stopped = await stopBy(signal)
  expect(stopped).toMatchObject({ status })
  const run = /go on with: spt run --resume (\S+)/.exec(stopped.output)?.[1]
  expect(run).toMatch(/^\//)
  await access(join(run!, 'checkpoints', 'last.ckpt'))
})

test('a second signal ends the process at once, with the status of that signal', () => {
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never)
  const asked: string[] = []
  const release = watchSignals((signal) => asked.push(signal))
  process.emit('SIGINT', 'SIGINT')
  expect(exit).not.toHaveBeenCalled()
  process.emit('SIGTERM', 'SIGTERM')
  expect(exit).toHaveBeenCalledExactlyOnceWith(143)
  expect(asked[0]).toBe('SIGINT')
  release()
  expect(process.listeners('SIGINT')).toEqual([])
  exit.mockRestore()
})
