/**
 * A metric over many batches: it takes in batches, gives one value over all of them, and keeps its sums in checkpoints.
 * What is summed and what the value is stands beside each metric's function.
 */
import { SptError } from '../errors.js'
import { cat, noGrad, scope, type Tensor } from '../tensor/index.js'

/** What a metric has taken in: sums under their names, or rows of all batches in a list of tensors. */
export type MetricState = { readonly [name: string]: Tensor | readonly Tensor[] }

/** Update with each batch, compute once, reset before the next epoch: as in torchmetrics. */
export abstract class Metric<Value = unknown> {
  readonly #sums = new Map<string, Tensor>()
  readonly #rows = new Map<string, Tensor[]>()

  /** Takes in a batch, outside the graph. What it makes stays on the device; nothing is read. */
  abstract update(...batch: Tensor[]): void

  /** The value over all batches since the last reset. @throws ERR_ARGUMENT when there was none. */
  abstract compute(): Promise<Value>

  /** Whether there was no batch since the last reset. */
  get empty(): boolean {
    return this.#sums.size === 0 && this.#rows.size === 0
  }

  reset(): void {
    for (const tensor of [...this.#sums.values(), ...[...this.#rows.values()].flat()]) tensor.dispose()
    this.#sums.clear()
    this.#rows.clear()
  }

  /** For a checkpoint. The tensors of sums are the live ones. */
  state(): MetricState {
    const rows = [...this.#rows.keys()].map((name): [string, Tensor[]] => [name, [this.joined(name)]])
    return Object.fromEntries([...this.#sums, ...rows])
  }

  loadState(state: MetricState): void {
    this.reset()
    for (const [name, value] of Object.entries(state)) {
      if (Array.isArray(value)) {
        this.#rows.set(
          name,
          value.map((part: Tensor) => part.clone().keep()),
        )
      } else this.#sums.set(name, (value as Tensor).clone().keep())
    }
  }

  /** Adds what `count` makes of the batch to the sums of those names; all shapes stay as the first batch made them. */
  protected add(count: () => Record<string, Tensor>): void {
    this.#outsideGraph(() => {
      for (const [name, value] of Object.entries(count())) {
        const sum = this.#sums.get(name)
        if (sum) sum.add_(value)
        else this.#sums.set(name, value.clone().keep())
      }
    })
  }

  /** Keeps a copy of the rows that `make` makes of the batch. */
  protected append(make: () => Record<string, Tensor>): void {
    this.#outsideGraph(() => {
      for (const [name, value] of Object.entries(make())) {
        this.#rows.set(name, [...(this.#rows.get(name) ?? []), value.clone().keep()])
      }
    })
  }

  protected sum(name: string): Tensor {
    return this.#sums.get(name) ?? this.#nothing()
  }

  /** The rows of all batches, one tensor; a copy. */
  protected joined(name: string): Tensor {
    const parts = this.#rows.get(name) ?? this.#nothing()
    return noGrad(() => cat(parts, 0))
  }

  #outsideGraph(run: () => void): void {
    noGrad(() => scope(run))
  }

  #nothing(): never {
    throw new SptError('ERR_ARGUMENT', `${this.constructor.name}: compute() before any update()`, {
      hint: 'Call update with a batch first; reset() forgets all batches.',
    })
  }
}
