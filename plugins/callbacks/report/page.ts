/** The report as one HTML text: what happened in words, a table, curves, and pictures with their nearest neighbours. */
import { escapeHtml, lineChart, percent, type Series } from './chart.js'
import type { Curves } from './curves.js'
import { style } from './style.js'
import { inWords } from './words.js'

export interface Picture {
  uri: string
  /** Class name, or its number. */
  label: string
}

export interface NeighbourRow {
  query: Picture
  neighbours: Array<Picture & { same: boolean }>
}

export interface ReportContent extends Curves {
  title: string
  finished: boolean
  /** Name of the method, where the run has one. */
  method: string | undefined
  /** What the run was made of, in a few words each: [what, which]. */
  settings: Array<[string, string]>
  epochs: number
  steps: number
  /** Training images. */
  images: number
  /** Names of the classes; empty where the data set has none. */
  classes: readonly string[]
  rows: NeighbourRow[]
  /** What lies where: [what, absolute path]. */
  files: Array<[string, string]>
}

export function reportPage(content: ReportContent): string {
  const { title, accuracies, losses, rank, files } = content
  const curves: Series[] = accuracies.flatMap(({ label, untrained, points }) => [
    { name: label, points },
    ...(untrained === undefined || points.length === 0
      ? []
      : [
          {
            name: `${label}, untrained`,
            of: label,
            points: [[0, untrained] as const, [points.at(-1)?.[0] ?? 0, untrained] as const],
          },
        ]),
  ])
  const charts = [
    lineChart({
      title: 'Loss',
      caption: 'What training makes smaller, batch by batch. It should fall; it need not come near 0.',
      xLabel: 'step',
      series: losses,
    }),
    lineChart({
      title: 'Accuracy on validation images',
      caption:
        'How many images that were not trained on are given the right class, from their embeddings alone: by one linear ' +
        'layer (the probe), or by the most similar training images (the neighbours). Dashed: before training.',
      xLabel: 'epoch',
      series: curves,
      format: percent,
      yMin: 0,
    }),
    lineChart({
      title: 'RankMe: dimensions in use',
      caption:
        'How many directions the embeddings really spread in. A fall to a few means that training has collapsed.',
      xLabel: 'epoch',
      series: rank.length > 0 ? [{ name: 'RankMe', points: rank }] : [],
    }),
  ]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
<h1>${escapeHtml(title)}</h1>
<p class="soft">${content.settings.map(([what, which]) => `${escapeHtml(what)} <b>${escapeHtml(which)}</b>`).join(' · ')}</p>
${inWords(content)
  .map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`)
  .join('\n')}
${table(content)}
<section class="charts">${charts.filter((chart) => chart !== '').join('\n')}</section>
${neighbours(content)}
<h2>Files</h2>
<dl>${files.map(([name, path]) => `<dt>${escapeHtml(name)}</dt><dd><code>${escapeHtml(path)}</code></dd>`).join('')}</dl>
</html>
`
}

function table({ accuracies, classes }: ReportContent): string {
  const cell = (value: number | undefined): string => `<td>${value === undefined ? '–' : percent(value)}</td>`
  const guess = classes.length > 1 ? 1 / classes.length : undefined
  const rows = accuracies.map(({ label, untrained, points }) => {
    const trained = points.at(-1)?.[1]
    const gain = untrained === undefined || trained === undefined ? undefined : trained - untrained
    const sign = gain === undefined ? '–' : `${gain >= 0 ? '+' : '−'}${(Math.abs(gain) * 100).toFixed(1)} points`
    return `<tr><th>${escapeHtml(label)}</th>${cell(guess)}${cell(untrained)}${cell(trained)}<td>${sign}</td></tr>`
  })
  if (rows.length === 0) return ''
  return `<div class="wide"><table><tr><th></th><th>guessing</th><th>untrained</th><th>trained</th><th>gain</th></tr>${rows.join('')}</table></div>`
}

function neighbours({ rows }: ReportContent): string {
  if (rows.length === 0) return ''
  const picture = ({ uri, label }: Picture, kind: string): string =>
    `<figure class="${kind}"><img src="${uri}" alt="${escapeHtml(label)}"><figcaption>${escapeHtml(label)}</figcaption></figure>`
  const lines = rows.map(
    ({ query, neighbours: found }) =>
      `<div class="row">${picture(query, 'query')}${found.map((one) => picture(one, one.same ? 'right' : 'wrong')).join('')}</div>`,
  )
  return `<h2>What looks alike to the network</h2>
<p>On the left a validation image; after it the validation images whose embeddings are nearest to its own. A green frame is the
same class, a red one another.</p>
<section class="grid">${lines.join('\n')}</section>`
}
