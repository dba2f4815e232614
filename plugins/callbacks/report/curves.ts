/** Curves for the report, read from the text of metrics.csv. It draws nothing. */
import type { Series } from './chart.js'

export interface Accuracy {
  /** For people. */
  label: string
  /** What a number of it means, as the middle of a sentence. */
  meaning: 'classified' | 'neighbours'
  untrained: number | undefined
  /** [epochs done, share from 0 to 1]. */
  points: Array<[number, number]>
}

export interface Curves {
  losses: Series[]
  accuracies: Accuracy[]
  /** RankMe: [epochs done, dimensions]. */
  rank: Array<[number, number]>
}

const LABELS: Record<string, string> = {
  knn_top1: 'k nearest neighbours',
  linear_probe_top1: 'a linear probe',
  report_neighbours: 'neighbours of the same class',
}

export function readCurves(csv: string): Curves {
  const [head = '', ...lines] = csv.trimEnd().split('\n')
  const names = head.split(',')
  const column = (name: string): Array<{ step: number; epoch: number; value: number }> => {
    const at = names.indexOf(name)
    return lines.flatMap((line) => {
      const cells = line.split(',')
      const text = at < 0 ? '' : (cells[at] ?? '')
      return text === '' ? [] : [{ epoch: Number(cells[0]), step: Number(cells[1]), value: Number(text) }]
    })
  }
  const losses = names
    .filter((name) => /^(fit|train)\/.*loss_step$/.test(name))
    .map((name) => ({
      name:
        name === 'fit/loss_step'
          ? 'what is minimised'
          : (name.match(/\/(.*)_loss_step/)?.[1] ?? name).replaceAll('_', ' '),
      points: column(name).map(({ step, value }) => [step, value] as [number, number]),
    }))
  const accuracies = names
    .filter((name) => /^eval\/.*_(top1|neighbours)$/.test(name))
    .map((name): Accuracy => {
      const bare = name.slice('eval/'.length)
      return {
        label: LABELS[bare] ?? bare.replaceAll('_', ' '),
        meaning: bare.endsWith('_neighbours') ? 'neighbours' : 'classified',
        untrained: column(`untrained/${bare}`)[0]?.value,
        points: column(name).map(({ epoch, value }) => [epoch + 1, value]),
      }
    })
  return { losses, accuracies, rank: column('rankme').map(({ epoch, value }) => [epoch + 1, value]) }
}
