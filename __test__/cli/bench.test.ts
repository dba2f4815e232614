/** `spt bench methods`: rows in processes of their own, the table, and going on where it was stopped. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { readSuite } from '../../src/app/suite.js'
import { suiteTable, type SuiteRow } from '../../src/app/suite-table.js'
import { fixtures, spt, start } from './process.js'

let folder: string
let file: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-bench-'))
  file = join(folder, 'suite.yaml')
  await writeFile(
    file,
    `name: Two ways & a mistake
base:
  data:
    batch_size: 4
    train: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: simclr, size: 16}}
    val: {dataset: {type: image-folder, root: ${fixtures}/data/photos}, transform: {type: evaluation, size: 16}}
  backbone: ${fixtures}/runs/small-backbone.ts
  method: {type: simclr, projector_dims: [8, 4], temperature: 0.5}
  optimizer: {type: SGD, lr: 0.1}
  callbacks: [untrained-baseline, {type: online-probe, num_classes: 3}, {type: online-knn, num_classes: 3, k: 3}, rank-me]
  trainer: {max_steps: 4, num_sanity_val_steps: 0}
rows:
  cold: {method: {temperature: 0.1}}
  wrong: {method: {temperature: -1}}
  labels: {method: {type: supervised, num_classes: 3}}
`,
  )
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

test('a row is laid over the base; another type replaces the whole mapping; data sets are found from the suite', async () => {
  const { rows } = await readSuite(file, ['base.trainer.max_steps=7', 'base.data.val.dataset.root=photos'])
  expect([...rows.keys()]).toEqual(['cold', 'wrong', 'labels'])
  expect(rows.get('cold')).toMatchObject({
    method: { type: 'simclr', projector_dims: [8, 4], temperature: 0.1 },
    trainer: { max_steps: 7 },
    data: { val: { dataset: { root: join(folder, 'photos') } } },
  })
  expect(rows.get('labels')?.['method']).toEqual({ type: 'supervised', num_classes: 3 })
})

test('a row may begin from a configuration of its own, and the budget holds for all', async () => {
  const other = join(folder, 'other.yaml')
  await writeFile(other, `name: x\nrows:\n  a: {from: suite.yaml, method: byol}\nbudget: {trainer: {max_epochs: 3}}\n`)
  const { rows } = await readSuite(other)
  expect(rows.get('a')).toMatchObject({ name: 'Two ways & a mistake', method: 'byol', trainer: { max_epochs: 3 } })
})

test('a suite that is none is refused with file and line', async () => {
  const broken = join(folder, 'broken.yaml')
  await writeFile(broken, 'name: x\nrow: {}\n')
  await expect(readSuite(broken)).rejects.toMatchObject({ code: 'ERR_CONFIG', message: /broken\.yaml/ })
})

describe('a suite', () => {
  test('trains every row but one that fails, which is told, and goes on where it was stopped', async () => {
    const output = join(folder, 'out')
    const first = await spt(['bench', 'methods', '--suite', file, '--output', output, '--only', 'wrong,labels'])
    expect(first.output).toMatch(/wrong: failed: .*ERR_CONFIG/)
    expect(first.output).toMatch(/labels: done/)
    expect(first.status).toBe(1)
    const second = await spt(['bench', 'methods', '--suite', file, '--output', output, '--only', 'cold'])
    // What was trained is not trained again, and stays in the table.
    expect(second.output).not.toMatch(/labels: begins/)
    const results = JSON.parse(await readFile(join(output, 'results.json'), 'utf8')) as {
      rows: Array<Record<string, never>>
    }
    expect(results.rows.map(({ name, method, steps }) => [name, method, steps])).toEqual([
      ['cold', 'simclr', 4],
      ['labels', 'supervised', 4],
    ])
    const { metrics, seconds, peakProcessBytes } = results.rows[0]!
    expect(metrics).toMatchObject({
      'eval/knn_top1': expect.any(Number) as number,
      rankme: expect.any(Number) as number,
    })
    expect(seconds).toBeGreaterThan(0)
    expect(peakProcessBytes).toBeGreaterThan(2 ** 20)
    expect(await readFile(join(output, 'results.md'), 'utf8')).toMatch(/\| cold \| simclr \| \d+\.\d %/)
    expect(await readFile(join(output, 'results.html'), 'utf8')).toContain('<h1>Two ways &#38; a mistake</h1>')
  })

  test.runIf(process.platform === 'linux')('stopped by Ctrl-C in a row, it saves that, and goes on in it', async () => {
    const output = join(folder, 'stopped')
    const command = ['bench', 'methods', '--suite', file, '--output', output, '--only', 'cold,labels']
    const steps = 'base.trainer.max_steps=80'
    const running = start([...command, steps, 'base.logger=[console, csv]'])
    await vi.waitFor(() => expect(running.output()).toMatch(/step \d\d/), { timeout: 60_000, interval: 20 })
    // A terminal sends it to the suite and to the process of its row.
    const pid = running.process.pid as number
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
    for (const id of [pid, ...children.trim().split(' ').map(Number)]) process.kill(id, 'SIGINT')
    const first = await running.end
    expect(first.status).toBe(130)
    expect(first.output).toMatch(/cold: stopped by hand/)
    expect(first.output).not.toMatch(/labels: begins/)
    const second = await spt([...command, steps])
    expect(second.output).toMatch(/cold: done[\s\S]*labels: done/)
    const { rows } = JSON.parse(await readFile(join(output, 'results.json'), 'utf8')) as { rows: object[] }
    expect(rows).toMatchObject([{ steps: 80, run: first.directory }, { steps: 80 }])
  })

  test('an unknown row and another word than methods are told', async () => {
    const wrong = await spt(['bench', 'methods', '--suite', file, '--output', folder, '--only', 'colt'])
    expect(wrong.output).toMatch(/no row "colt"[\s\S]*"cold"/)
    expect((await spt(['bench', 'method', '--suite', file])).status).toBe(2)
  })
})

test('what was measured on the trained backbone alone goes before what was measured along with training', () => {
  const metrics = {
    'untrained/near_knn_top1': 0.1,
    'untrained/linear_probe_top1': 0.2,
    'eval/near_knn_top1': 0.3,
    'eval/linear_probe_top1': 0.4,
    'trained/near_knn_top1': 0.5,
    'trained/linear_probe_top1': 0.6,
  }
  const summary = { status: 'completed', epochs: 1, steps: 2, seconds: 60, peakProcessBytes: 2 ** 20, metrics } as const
  const { markdown } = suiteTable('t', [{ name: 'a', method: 'a', summary }])
  expect(markdown).toContain('| a | a | 10.0 % | 50.0 % | 20.0 % | 60.0 % | – | 1.0 | 1 MiB |  |')
})

test('the table marks the best value of a column, and says why a row has none', () => {
  const row = (name: string, knn: number, seconds: number): SuiteRow => ({
    name,
    method: name,
    summary: {
      status: 'completed',
      epochs: 1,
      steps: 2,
      seconds,
      peakProcessBytes: 2 ** 20,
      metrics: { 'eval/knn_top1': knn },
    },
  })
  const rows = [row('a', 0.5, 60), row('b', 0.25, 30), { name: 'c', method: 'c', error: 'error [ERR_X] a|b <' }]
  const { markdown, html } = suiteTable('t', rows)
  expect(markdown).toContain('| a | a | – | 50.0 % | – | – | – | 1.0 | 1 MiB |  |')
  expect(markdown).toContain('a\\|b <')
  expect(html.match(/<td class="best"><span style="width:100\.0%"><\/span>50\.0 %/)).not.toBeNull()
  expect(html.match(/<td class="best"><span style="width:50\.0%"><\/span>0\.5/)).not.toBeNull()
  expect(html).toContain('a|b &#60;')
})
