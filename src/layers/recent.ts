/** The values asked for last, few of them. What falls out is handed on, to be closed or reused. */
export class Recent<Key extends string | number, Value> {
  readonly #most: number
  readonly #release: (value: Value) => void
  /** The latest first. */
  #held: { readonly key: Key; readonly value: Value }[] = []

  constructor(most: number, release: (value: Value) => void = () => {}) {
    this.#most = most
    this.#release = release
  }

  get(key: Key): Value | undefined {
    const at = this.#held.findIndex((one) => one.key === key)
    if (at < 0) return undefined
    const [found] = this.#held.splice(at, 1)
    this.#held.unshift(found!)
    return found!.value
  }

  set(key: Key, value: Value): Value {
    this.#held.unshift({ key, value })
    while (this.#held.length > this.#most) this.#release(this.#held.pop()!.value)
    return value
  }

  /** Lets go of everything. */
  clear(): void {
    for (const { value } of this.#held.splice(0)) this.#release(value)
  }
}
