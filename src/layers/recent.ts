/** The values asked for last, few of them. What falls out is handed on, to be closed or reused. */
export class Recent<Value> {
  readonly #most: number
  readonly #release: (value: Value) => void
  /** The latest first. */
  #held: { readonly owner: object; readonly key: string | number; readonly value: Value }[] = []

  constructor(most: number, release: (value: Value) => void = () => {}) {
    this.#most = most
    this.#release = release
  }

  get(owner: object, key: string | number): Value | undefined {
    const at = this.#held.findIndex((one) => one.key === key && one.owner === owner)
    if (at < 0) return undefined
    const [found] = this.#held.splice(at, 1)
    this.#held.unshift(found!)
    return found!.value
  }

  set(owner: object, key: string | number, value: Value): Value {
    this.#held.unshift({ owner, key, value })
    while (this.#held.length > this.#most) this.#release(this.#held.pop()!.value)
    return value
  }

  /** Lets go of all that an owner has. */
  drop(owner: object): void {
    const gone = this.#held.filter((one) => one.owner === owner)
    this.#held = this.#held.filter((one) => one.owner !== owner)
    for (const { value } of gone) this.#release(value)
  }
}
