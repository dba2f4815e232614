/** The report as one HTML text: what happened in words, a table, curves, and pictures with their nearest neighbours. */
import { escapeHtml, lineChart, percent, type Series } from './chart.js'
import type { Accuracy, Curves } from './curves.js'
import { style } from './style.js'

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
            dashed: true,
            points: [[0, untrained] as const, [points.at(-1)?.[0] ?? 0, untrained] as const],
          },
        ]),
  ])
  const charts = [
    lineChart({ title: 'Loss', xLabel: 'step', series: losses }),
    lineChart({ title: 'Accuracy on validation images', xLabel: 'epoch', series: curves, format: percent, yMin: 0 }),
    lineChart({
      title: 'RankMe: dimensions in use',
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
${inWords(content)
  .map((paragraph) => `<p>${escapeHtml(paragraph)}</p>`)
  .join('\n')}
${table(content)}
<section class="charts">${charts
    .filter((chart) => chart !== '')
    .map((chart) => `<figure>${chart}</figure>`)
    .join('\n')}</section>
${neighbours(content)}
<h2>Files</h2>
<dl>${files.map(([name, path]) => `<dt>${escapeHtml(name)}</dt><dd><code>${escapeHtml(path)}</code></dd>`).join('')}</dl>
</html>
`
}

/** What the numbers mean, for someone who has never trained anything. */
export function inWords({ finished, epochs, steps, images, classes, accuracies }: ReportContent): string[] {
  const length = `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} (${steps} steps)`
  const opening =
    `${finished ? 'The network was trained' : 'The network has been training'} for ${length} on ${images} images, without being told what they show. ` +
    'It learns to recognise that two altered copies of a picture (cut out, recoloured, mirrored) come from the same picture.'
  const chance =
    classes.length > 1
      ? `Guessing is right in ${percent(1 / classes.length)} of cases (${classes.length} classes).`
      : ''
  return [opening, [chance, 'The labels are used only to measure.'].join(' ').trim(), ...accuracies.flatMap(verdict)]
}

function verdict({ label, meaning, untrained, points }: Accuracy): string[] {
  const now = points.at(-1)?.[1]
  if (now === undefined) return []
  const before = untrained === undefined ? '' : `; with the network as it was before training, ${percent(untrained)}`
  const gain = untrained === undefined ? undefined : now - untrained
  const judged =
    gain === undefined
      ? ''
      : gain > 0.02
        ? ' Training has taught it something that tells these classes apart.'
        : gain > 0
          ? ' That is little more: train longer, or on more images.'
          : ' Training has not helped yet: train longer, on more images, or change the settings.'
  return meaning === 'neighbours'
    ? [`Of the validation images nearest to each one, ${percent(now)} show the same class${before}.`]
    : [`Classified by ${label}, ${percent(now)} of the validation images are given the right class${before}.${judged}`]
}

/** The table of the page, for a terminal. */
export function summaryTable({ accuracies }: Curves): string[] {
  const rows = accuracies.map(({ label, untrained, points }) => [label, untrained, points.at(-1)?.[1]] as const)
  if (rows.length === 0) return []
  const width = Math.max(...rows.map(([label]) => label.length))
  const cell = (value: number | undefined): string => (value === undefined ? '–' : percent(value)).padStart(10)
  return [
    `${''.padEnd(width)}${'untrained'.padStart(11)}${'trained'.padStart(11)}`,
    ...rows.map(([label, untrained, trained]) => `${label.padEnd(width)} ${cell(untrained)} ${cell(trained)}`),
  ]
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
  return `<table><tr><th></th><th>guessing</th><th>untrained</th><th>trained</th><th>gain</th></tr>${rows.join('')}</table>`
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
same class, a red one another. The network was never shown a class name.</p>
<section class="grid">${lines.join('\n')}</section>`
}
