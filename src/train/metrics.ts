/** The metrics of a callback: over the batches of a training epoch and of a validation, logged when those end. */
import type { PluginUse } from '../config/reference.js'
import { argumentInvalid, SptError } from '../errors.js'
import { Metric, topKAccuracy, type MetricState } from '../metrics/index.js'
import { noGrad, type Tensor } from '../tensor/index.js'
import type { Stage } from './callback.js'
import type { Trainer } from './trainer.js'

/** One metric, several by their class's name, or by names of their own. */
export type NamedMetrics = Metric | readonly Metric[] | Readonly<Record<string, Metric>>

/** Metrics of validation, or of both. */
export type MetricsOption = NamedMetrics | MetricsOfStages

export interface MetricsOfStages {
  readonly train: NamedMetrics
  readonly val: NamedMetrics
}

/** Builds the metrics that a field made by `namedReferences('metric', ['train', 'val'])` names. */
export async function buildMetrics(
  uses: Record<'train' | 'val', Record<string, PluginUse<'metric'>>>,
  build: (use: PluginUse<'metric'>) => Promise<Metric>,
): Promise<Record<'train' | 'val', Record<string, Metric>>> {
  const all = async (part: Record<string, PluginUse<'metric'>>): Promise<Record<string, Metric>> =>
    Object.fromEntries(await Promise.all(Object.entries(part).map(async ([name, use]) => [name, await build(use)])))
  return { train: await all(uses.train), val: await all(uses.val) }
}

/**
 * Takes in predictions [batch, classes] and class numbers [batch] of each batch. Without metrics of its own it logs the
 * share of rows whose class is the first guess (`top1`), and among the first five (`top5`) where there are more classes.
 */
export class EpochMetrics {
  readonly #owner: string
  readonly #own?: Record<'fit' | 'validate', [name: string, metric: Metric][]>

  /** `owner`: the callback's name, which the names of what is logged begin with: `eval/<owner>_<metric>`. */
  constructor(owner: string, given: MetricsOption | undefined) {
    this.#owner = owner
    if (given === undefined) return
    this.#own = isApart(given)
      ? { fit: named(given.train), validate: named(given.val) }
      : { fit: [], validate: named(given as NamedMetrics) }
  }

  update(trainer: Trainer, stage: Stage, preds: Tensor, target: Tensor): void {
    for (const [, metric] of this.#of(stage)) metric.update(preds, target)
    if (this.#own) return
    for (const [name, value] of topAccuracies(preds, target)) {
      trainer.log(`${prefixes[stage === 'fit' ? 'fit' : 'validate']}/${this.#owner}_${name}`, value, {
        weight: target.numel,
      })
    }
  }

  /** Logs what was taken in since the last reset, and forgets it. */
  async log(trainer: Trainer, stage: 'fit' | 'validate'): Promise<void> {
    for (const [name, metric] of this.#of(stage)) {
      if (metric.empty) continue
      for (const [part, value] of parts(name, await metric.compute())) {
        trainer.log(`${prefixes[stage]}/${this.#owner}_${part}`, value)
      }
    }
    this.reset(stage)
  }

  reset(stage: 'fit' | 'validate'): void {
    for (const [, metric] of this.#of(stage)) metric.reset()
  }

  /** The values of one set of predictions, by the metrics of validation. */
  async measure(preds: Tensor, target: Tensor): Promise<Record<string, number>> {
    const found: Record<string, number> = {}
    if (!this.#own) for (const [name, value] of topAccuracies(preds, target)) found[name] = await value.item()
    for (const [name, metric] of this.#of('validate')) {
      metric.reset()
      metric.update(preds, target)
      Object.assign(found, Object.fromEntries(parts(name, await metric.compute())))
      metric.reset()
    }
    return found
  }

  /** What a checkpoint in the middle of a training epoch needs. */
  state(): Record<string, MetricState> {
    return Object.fromEntries(
      this.#of('fit').flatMap(([name, metric]) => (metric.empty ? [] : [[name, metric.state()]])),
    )
  }

  loadState(state: Record<string, MetricState>): void {
    this.reset('fit')
    for (const [name, metric] of this.#of('fit')) if (state[name]) metric.loadState(state[name])
  }

  #of(stage: Stage): [name: string, metric: Metric][] {
    return this.#own?.[stage === 'fit' ? 'fit' : 'validate'] ?? []
  }
}

const prefixes = { fit: 'train', validate: 'eval' } as const

function isApart(given: MetricsOption): given is MetricsOfStages {
  return !(given instanceof Metric) && !Array.isArray(given) && Object.keys(given).toSorted().join() === 'train,val'
}

function named(given: NamedMetrics): [string, Metric][] {
  if (given instanceof Metric) return [[given.constructor.name, given]]
  if (!Array.isArray(given)) return Object.entries(given as Record<string, Metric>)
  const found = (given as readonly Metric[]).map((metric): [string, Metric] => [metric.constructor.name, metric])
  const twice = found.find(([name], index) => found.findIndex(([other]) => other === name) !== index)
  if (!twice) return found
  throw argumentInvalid(
    'metrics',
    'different names',
    twice[0],
    'Give an object instead of a list: a name for each metric.',
  )
}

/** A value under its name; the values of classes under its name and their number. */
function parts(name: string, value: unknown): [string, number][] {
  if (typeof value === 'number') return [[name, value]]
  if (value instanceof Float64Array) return Array.from(value, (one, index) => [`${name}_${index}`, one])
  throw new SptError('ERR_UNSUPPORTED', `metric "${name}": its value is no number, nor one a class`, {
    hint: 'Compute it outside of a callback.',
  })
}

function topAccuracies(logits: Tensor, target: Tensor): [string, Tensor][] {
  const classes = logits.shape[1] ?? 0
  const shown = [1, 5].filter((k) => k === 1 || classes > k)
  return noGrad(() => shown.map((k): [string, Tensor] => [`top${k}`, topKAccuracy(logits, target, k)]))
}
