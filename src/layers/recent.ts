/** The values asked for last, few of them. What falls out is handed on, to be closed or reused. */
export class Recent<Key extends string | number, Value> {
  readonly #most: number
  readonly #release: (value: Value) => void
  /** The latest last. */
  readonly #held = new Map<Key, Value>()
  #last: Key | null = null

  constructor(most: number, release: (value: Value) => void = () => {}) {
    this.#most = most
    this.#release = release
  }

  get(key: Key): Value | undefined {
    const found = this.#held.get(key)
    if (found === undefined || key === this.#last) return found
    this.#held.delete(key)
    this.#held.set(key, found)
    this.#last = key
    return found
  }

  /** Of a key that is not held. */
  set(key: Key, value: Value): Value {
    this.#held.set(key, value)
    this.#last = key
    for (const [oldest, falling] of this.#held) {
      if (this.#held.size <= this.#most) break
      this.#held.delete(oldest)
      this.#release(falling)
    }
    return value
  }

  /** Lets go of everything. */
  clear(): void {
    const held = [...this.#held.values()]
    this.#held.clear()
    for (const value of held) this.#release(value)
  }
}
