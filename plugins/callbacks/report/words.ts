/** What a run's numbers mean: in sentences for the page, as a table for the terminal. */
import { percent } from './chart.js'
import type { Accuracy, Curves } from './curves.js'
import type { ReportContent } from './page.js'

/** What the numbers mean, for someone who has never trained anything. */
export function inWords({ finished, method, epochs, steps, images, classes, accuracies }: ReportContent): string[] {
  const length = `${epochs} ${epochs === 1 ? 'epoch' : 'epochs'} (${steps} steps)`
  const opening =
    `${finished ? 'The network was trained' : 'The network has been training'} for ${length} on ${images} images. ` +
    (lessons[method ?? ''] ?? '')
  const chance =
    classes.length > 1
      ? `Guessing is right in ${percent(1 / classes.length)} of cases (${classes.length} classes).`
      : ''
  return [opening, chance, ...accuracies.flatMap(verdict)].map((text) => text.trim()).filter((text) => text !== '')
}

/** What a method teaches, in words that need no field. */
const lessons: Record<string, string> = {
  simclr:
    'It was not told what they show: it learns to recognise that two altered copies of a picture (cut out, recoloured, ' +
    'mirrored) come from the same picture. The labels are used only to measure.',
  supervised: 'It was told the class of each.',
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
