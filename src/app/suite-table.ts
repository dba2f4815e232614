/** The table of a suite as JSON, Markdown and one HTML file that needs nothing else. It reads no files. */
import type { RunSummary } from '../train/manager.js'

export interface SuiteRow {
  readonly name: string
  readonly method: string
  /** Folder of its run. */
  readonly run?: string
  readonly summary?: RunSummary
  /** Why there is no summary, or none of the whole run. */
  readonly error?: string
}

interface Column {
  readonly title: string
  value(row: SuiteRow): number | undefined
  format(value: number): string
  /** Which end of the column is the better one; drawn as a bar in HTML. */
  readonly better?: 'high' | 'low'
}

const percent = (value: number): string => `${(value * 100).toFixed(1)} %`

/** The first metric whose name fits: probes and neighbours may have names of their own. */
const metric =
  (...patterns: RegExp[]) =>
  ({ summary }: SuiteRow): number | undefined => {
    const entries = Object.entries(summary?.metrics ?? {})
    return patterns
      .map((pattern) => entries.find(([name]) => pattern.test(name))?.[1])
      .find((value) => value !== undefined)
  }

/** Measured on the backbone alone at the end, else along with training. */
const accuracy = (of: 'knn' | 'linear', untrained = false): Column['value'] => {
  const named = { knn: 'knn_top1$', linear: 'linear_probe_top1$' }[of]
  const like = { knn: '.*knn.*top1$', linear: '.*(probe|linear).*top1$' }[of]
  const stages = untrained ? ['untrained'] : ['trained', 'eval']
  return metric(...stages.flatMap((stage) => [named, like].map((rest) => new RegExp(`^${stage}/${rest}`))))
}

const columns: readonly Column[] = [
  { title: 'kNN, untrained', value: accuracy('knn', true), format: percent },
  { title: 'kNN', value: accuracy('knn'), format: percent, better: 'high' },
  { title: 'linear, untrained', value: accuracy('linear', true), format: percent },
  { title: 'linear', value: accuracy('linear'), format: percent, better: 'high' },
  { title: 'RankMe', value: metric(/^rankme$/), format: (value) => value.toFixed(1) },
  {
    title: 'minutes',
    value: ({ summary }) => summary && summary.seconds / 60,
    format: (value) => value.toFixed(1),
    better: 'low',
  },
  {
    title: 'memory',
    value: ({ summary }) => summary?.peakProcessBytes,
    format: (value) => `${Math.round(value / 2 ** 20)} MiB`,
    better: 'low',
  },
]

export function suiteTable(name: string, rows: readonly SuiteRow[]): { json: string; markdown: string; html: string } {
  const json = JSON.stringify(
    {
      name,
      rows: rows.map(({ name: row, method, run, summary, error }) => ({
        name: row,
        method,
        run,
        error,
        status: summary?.status,
        epochs: summary?.epochs,
        steps: summary?.steps,
        metrics: summary?.metrics,
        seconds: summary?.seconds,
        peakProcessBytes: summary?.peakProcessBytes,
      })),
    },
    null,
    2,
  )
  return { json: `${json}\n`, markdown: markdownOf(name, rows), html: htmlOf(name, rows) }
}

const text = (column: Column, row: SuiteRow): string => {
  const value = column.value(row)
  return value === undefined ? '–' : column.format(value)
}

function markdownOf(name: string, rows: readonly SuiteRow[]): string {
  const head = ['row', 'method', ...columns.map(({ title }) => title), '']
  const lines = rows.map((row) => [
    row.name,
    row.method,
    ...columns.map((column) => text(column, row)),
    row.error === undefined ? '' : row.error.replaceAll('|', '\\|'),
  ])
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [`# ${name}`, '', line(head), line(head.map(() => '---')), ...lines.map(line), ''].join('\n')
}

function htmlOf(name: string, rows: readonly SuiteRow[]): string {
  const cells = (row: SuiteRow): string =>
    columns
      .map((column) => {
        const value = column.value(row)
        const all = rows.flatMap((other) => column.value(other) ?? [])
        const share = value === undefined || column.better === undefined ? 0 : value / Math.max(...all)
        const best =
          value !== undefined &&
          column.better !== undefined &&
          value === Math[column.better === 'high' ? 'max' : 'min'](...all)
        return `<td${best ? ' class="best"' : ''}><span style="width:${(100 * share).toFixed(1)}%"></span>${text(column, row)}</td>`
      })
      .join('')
  const body = rows.map(
    (row) =>
      `<tr><th>${escape(row.name)}</th><td>${escape(row.method)}</td>${cells(row)}<td class="error">${escape(row.error ?? '')}</td></tr>`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(name)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { padding: .4rem .6rem; border-bottom: 1px solid #ddd; text-align: left; position: relative }
td span { position: absolute; left: 0; bottom: 0; height: 3px; background: #1f77b4 }
.best { font-weight: 700 }
.error { color: #b00020; font-size: .85rem }
</style>
<h1>${escape(name)}</h1>
<p>One row, one run: nearest neighbours and a linear probe on validation images that were not trained on, against the same
backbone before training. The bar under a number is its share of the largest in the column; the best one is bold.</p>
<table>
<tr><th>row</th><th>method</th>${columns.map(({ title }) => `<th>${title}</th>`).join('')}<th></th></tr>
${body.join('\n')}
</table>
</html>
`
}

function escape(value: string): string {
  return value.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
