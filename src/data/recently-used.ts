/** Values that are costly to make, held until others need the memory: the least recently used goes first. */

interface Held<T> {
  readonly value: Promise<T>
  /** 0 while it is being made. */
  bytes: number
}

export class RecentlyUsed<T> {
  readonly #held = new Map<string, Held<T>>()
  readonly #limit: number
  #bytes = 0

  /** `limit` in bytes; one value is held whatever its size. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get bytes(): number {
    return this.#bytes
  }

  /** The value of `key`, made once however many ask for it meanwhile. One that fails is made again when it is next asked for. */
  take<U extends T>(key: string, make: () => Promise<U>, sizeOf: (value: U) => number): Promise<U> {
    const found = this.#held.get(key)
    if (found !== undefined) {
      this.#held.delete(key)
      this.#held.set(key, found)
      return found.value as Promise<U>
    }
    const held: Held<T> = { value: make(), bytes: 0 }
    this.#held.set(key, held)
    held.value.then(
      (value) => {
        held.bytes = sizeOf(value as U)
        this.#bytes += held.bytes
        this.#shrink(held)
      },
      () => this.#held.delete(key),
    )
    return held.value as Promise<U>
  }

  #shrink(newest: Held<T>): void {
    for (const [key, held] of this.#held) {
      if (this.#bytes <= this.#limit) return
      if (held === newest || held.bytes === 0) continue
      this.#held.delete(key)
      this.#bytes -= held.bytes
    }
  }
}
