import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CsvLogger } from '../../../plugins/loggers/csv.js'
import { JsonLinesLogger } from '../../../plugins/loggers/jsonl.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-loggers-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

describe('metrics.csv', () => {
  test('new names become columns at the end and old rows keep their values', async () => {
    const path = join(folder, 'metrics.csv')
    const logger = new CsvLogger(path)
    await logger.logMetrics({ loss: 2.5 }, { step: 10, epoch: 0 })
    await logger.logMetrics({ accuracy: 0.25 }, { step: 10, epoch: 0 })
    await logger.logMetrics({ loss: 1e-7, accuracy: 0.5 }, { step: 20, epoch: 1 })
    expect(await readFile(path, 'utf8')).toBe('epoch,step,loss,accuracy\n0,10,2.5,\n0,10,,0.25\n1,20,1e-7,0.5\n')
  })

  test('a run that goes on from a checkpoint writes the file the uninterrupted run writes', async () => {
    const whole = join(folder, 'whole.csv')
    const cut = join(folder, 'cut.csv')
    const rows: Array<[Record<string, number>, { step: number; epoch: number }]> = [
      [{ loss: 3 }, { step: 1, epoch: 0 }],
      [{ loss: 2 }, { step: 2, epoch: 0 }],
      [
        { loss: 1, late: 7 },
        { step: 3, epoch: 0 },
      ],
    ]
    const reference = new CsvLogger(whole)
    for (const row of rows) await reference.logMetrics(...row)

    const killed = new CsvLogger(cut)
    await killed.logMetrics(...(rows[0] as (typeof rows)[0]))
    const state = killed.state()
    await killed.logMetrics(...(rows[1] as (typeof rows)[0]))
    await killed.logMetrics(...(rows[2] as (typeof rows)[0]))
    await appendFile(cut, '0,4,0.') // the row that was being written

    const resumed = new CsvLogger(cut)
    await resumed.loadState(state)
    expect(await readFile(cut, 'utf8')).toBe('epoch,step,loss\n0,1,3\n')
    for (const row of rows.slice(1)) await resumed.logMetrics(...row)
    expect(await readFile(cut, 'utf8')).toBe(await readFile(whole, 'utf8'))
  })

  test('a file that is there is continued, never overwritten', async () => {
    const path = join(folder, 'metrics.csv')
    await new CsvLogger(path).logMetrics({ loss: 3 }, { step: 1, epoch: 0 })
    await new CsvLogger(path).logMetrics({ loss: 2, top1: 1 }, { step: 2, epoch: 0 })
    expect(await readFile(path, 'utf8')).toBe('epoch,step,loss,top1\n0,1,3,\n0,2,2,1\n')
  })
})

test('metrics.jsonl: a line is an object with its time, and lines after a checkpoint are cut off', async () => {
  const path = join(folder, 'metrics.jsonl')
  const logger = new JsonLinesLogger(path)
  await logger.logMetrics({ loss: 3 }, { step: 1, epoch: 0 })
  const state = logger.state()
  await logger.logMetrics({ loss: 2 }, { step: 2, epoch: 0 })
  const resumed = new JsonLinesLogger(path)
  await resumed.loadState(state)
  await resumed.logMetrics({ loss: 2.5 }, { step: 2, epoch: 0 })
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n')
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(objects).toMatchObject([
    { epoch: 0, step: 1, loss: 3 },
    { epoch: 0, step: 2, loss: 2.5 },
  ])
  expect(new Date(objects[0]?.['time'] as string).getTime()).toBeGreaterThan(Date.now() - 60_000)
})
