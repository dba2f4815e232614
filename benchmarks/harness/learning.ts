/**
 * What the methods of a suite learnt, beside what PyTorch's did: the lines of `learning.jsonl`, and the table that
 * `RESULTS.md` makes of them.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Origin } from './results-page.js'

/** Shares of the validation images that neighbours and a linear probe name rightly, on embeddings of images as they are. */
export interface Measured {
  readonly knn: number
  readonly linear: number
}

/** One method's row. */
export interface Learnt {
  readonly row: string
  readonly epochs: number
  readonly untrained: Measured
  readonly trained: Measured
  readonly rankme: number
  /** Neighbours along with training, a number a validation. */
  readonly curve: readonly number[]
  /** PyTorch's own. */
  readonly peer?: { readonly untrained: Measured; readonly trained: Measured }
  readonly origin: Pick<Origin, 'date' | 'commit' | 'machine'>
}

/** What `spt bench methods` leaves of a row in `results.json`. */
export interface SuiteLine {
  readonly name: string
  readonly run?: string
  readonly status?: string
  readonly epochs?: number
  readonly metrics?: Readonly<Record<string, number>>
}

/** A line of `peers/methods.py`. */
export interface PeerLine {
  readonly method: string
  readonly state?: 'untrained' | 'trained'
  readonly knn_top1: number
  readonly linear_probe_top1?: number
}

/** The rows of a suite that were trained to their end, with the peers' where there are any. */
export function learntOf(suite: readonly SuiteLine[], peers: readonly PeerLine[], origin: Learnt['origin']): Learnt[] {
  return suite
    .filter(({ status, metrics }) => status === 'completed' && metrics?.['trained/knn_top1'] !== undefined)
    .map(({ name: row, run, epochs = 0, metrics = {} }) => {
      const measured = (state: string): Measured => ({
        knn: metrics[`${state}/knn_top1`] as number,
        linear: metrics[`${state}/linear_probe_top1`] as number,
      })
      const peer = peerOf(row, peers)
      return {
        row,
        epochs,
        untrained: measured('untrained'),
        trained: measured('trained'),
        rankme: metrics['rankme'] as number,
        curve: run === undefined ? [] : column(join(run, 'metrics.csv'), 'eval/knn_top1'),
        ...(peer && { peer }),
        origin,
      }
    })
}

/** The last line of each state. */
function peerOf(method: string, lines: readonly PeerLine[]): Learnt['peer'] {
  const found = (state: PeerLine['state']): Measured | undefined => {
    const line = lines.findLast((one) => one.method === method && one.state === state)
    return line?.linear_probe_top1 === undefined ? undefined : { knn: line.knn_top1, linear: line.linear_probe_top1 }
  }
  const [untrained, trained] = [found('untrained'), found('trained')]
  return untrained && trained && { untrained, trained }
}

/** The numbers of a column of a CSV file without quotes, in order. */
function column(file: string, name: string): number[] {
  if (!existsSync(file)) return []
  const [head = '', ...lines] = readFileSync(file, 'utf8').trim().split('\n')
  const place = head.split(',').indexOf(name)
  const cells = lines.map((line) => line.split(',')[place] ?? '')
  return cells.filter((cell) => cell !== '').map(Number)
}

/** A row takes the place of an older one of that name; a peer that was measured before stays. */
export function merged(before: readonly Learnt[], now: readonly Learnt[]): Learnt[] {
  const old = new Map(before.map((line) => [line.row, line]))
  const fresh = now.map((line) => {
    const peer = line.peer ?? old.get(line.row)?.peer
    return peer ? { ...line, peer } : line
  })
  return [...before.filter(({ row }) => !now.some((line) => line.row === row)), ...fresh]
}

/** The section of the page; empty where nothing was learnt yet. */
export function learningSection(rows: readonly Learnt[]): string {
  if (rows.length === 0) return ''
  const percent = (value: number) => (100 * value).toFixed(1)
  const change = (key: keyof Measured, { untrained, trained }: Pick<Learnt, 'untrained' | 'trained'>) =>
    `${percent(untrained[key])} → **${percent(trained[key])}**`
  const lines = rows.map((line) => {
    const { row, epochs, peer, rankme, curve } = line
    const cells = [
      row,
      `${epochs}`,
      change('knn', line),
      peer ? change('knn', peer) : '',
      change('linear', line),
      peer ? change('linear', peer) : '',
      rankme.toFixed(0),
      curve.map((value) => (100 * value).toFixed(0)).join(' '),
    ]
    return `| ${cells.join(' | ')} |`
  })
  const machines = [
    ...new Set(rows.map(({ origin: { date, commit, machine } }) => `${machine}; commit ${commit}, ${date}`)),
  ]
  return `## Learning: \`suites/learning.yaml\`

What [README.md](README.md#suites) says of the suite: 10,000 CIFAR-10 images of 16 by 16 pixels, a small backbone, one core. % of 2,000 test
images named rightly by their 20 nearest neighbours and by a linear probe, on embeddings of images as they are, before training and
after it; PyTorch's beside ours with the same recipe and steps. A reading has a standard error of 1.1 for the
choice of test images; four fits of the probe to one network spread by 1. *Along*: neighbours at each validation, among embeddings of
augmented images.

${machines.join('\n')}

| method | epochs | kNN | PyTorch's | linear | PyTorch's | RankMe | along |
| --- | --- | --- | --- | --- | --- | --- | --- |
${lines.join('\n')}`
}
