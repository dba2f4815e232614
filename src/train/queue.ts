/**
 * The newest rows of something a run produces batch by batch: one queue a key, shared by all who ask for that key.
 * It does not decide what is put in; the trainer appends once a training batch.
 */
import { SptError } from '../errors.js'
import { cat, noGrad, type Tensor, zeros } from '../tensor/index.js'
import type { StateObject } from './packing.js'

/**
 * A ring of rows. Grows to the longest length asked for without losing a row, and is part of the checkpoint.
 *
 * With rows of shape [dim] its storage is [capacity, dim]; scalars (labels) are rows of shape [].
 */
export class OnlineQueue {
  readonly key: string
  #capacity: number
  #rows: Tensor | undefined
  /** Rows ever appended; the next one is written at `#appended % #capacity`. */
  #appended = 0

  constructor(key: string, capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new SptError('ERR_ARGUMENT', `queue "${key}": expected a length of at least 1, got ${capacity}`)
    }
    this.key = key
    this.#capacity = capacity
  }

  /** Rows it can hold. */
  get capacity(): number {
    return this.#capacity
  }

  /** Rows it holds now. */
  get length(): number {
    return Math.min(this.#appended, this.#capacity)
  }

  /** Makes room for at least `capacity` rows. */
  grow(capacity: number): void {
    if (capacity <= this.#capacity) return
    const rows = this.#rows && noGrad(() => this.newest(this.length))
    this.#capacity = capacity
    if (rows) this.#fill(rows)
  }

  /** Appends the rows of `batch` [batch, ...]; of a batch longer than the queue the last rows stay. */
  append(batch: Tensor): void {
    noGrad(() => {
      const count = batch.shape[0] ?? 0
      const rows = count > this.#capacity ? batch.narrow(0, count - this.#capacity, this.#capacity) : batch
      this.#appended += count - (rows.shape[0] ?? 0)
      const storage = (this.#rows ??= this.#allocate(rows))
      this.#check(rows)
      let done = 0
      while (done < (rows.shape[0] ?? 0)) {
        const at = this.#appended % this.#capacity
        const fits = Math.min((rows.shape[0] ?? 0) - done, this.#capacity - at)
        storage.narrow(0, at, fits).copy_(rows.narrow(0, done, fits))
        this.#appended += fits
        done += fits
      }
    })
  }

  /** The newest `count` rows (fewer if it holds fewer), oldest first: [rows, ...]. A copy. */
  newest(count: number): Tensor {
    const storage = this.#rows
    if (storage === undefined) throw new SptError('ERR_ARGUMENT', `queue "${this.key}" is empty`)
    const wanted = Math.min(count, this.length)
    const start = (this.#appended - wanted) % this.#capacity
    const first = Math.min(wanted, this.#capacity - start)
    return noGrad(() =>
      first === wanted
        ? storage.narrow(0, start, wanted).clone()
        : cat([storage.narrow(0, start, first), storage.narrow(0, 0, wanted - first)], 0),
    )
  }

  /** The rows, oldest first: what later reads can see, at any capacity. */
  state(): StateObject {
    return { rows: this.length === 0 ? null : this.newest(this.length) }
  }

  loadState(state: StateObject): void {
    this.#rows?.dispose()
    this.#rows = undefined
    this.#appended = 0
    const rows = state['rows'] as Tensor | null
    if (rows === null) return
    this.#capacity = Math.max(this.#capacity, rows.shape[0] ?? 0)
    this.#fill(rows)
  }

  #fill(rows: Tensor): void {
    this.#rows?.dispose()
    this.#rows = undefined
    this.#appended = 0
    this.append(rows)
  }

  #allocate(like: Tensor): Tensor {
    return zeros([this.#capacity, ...like.shape.slice(1)], { dtype: like.dtype }).keep()
  }

  #check(rows: Tensor): void {
    const expected = (this.#rows as Tensor).shape.slice(1)
    if (rows.shape.slice(1).join() !== expected.join()) {
      throw new SptError(
        'ERR_SHAPE',
        `queue "${this.key}" holds rows of shape [${expected.join(', ')}], got rows of shape [${rows.shape.slice(1).join(', ')}]`,
      )
    }
  }
}
