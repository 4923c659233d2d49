import { invalid } from "./faults.ts"

/** Docker's own: ctrl-p, ctrl-q. */
const DEFAULT_KEYS: readonly number[] = [16, 17]

const CONTROLS: Readonly<Record<string, number>> = {
  "@": 0,
  "[": 27,
  "\\": 28,
  "]": 29,
  "^": 30,
  _: 31,
}

/** Reads `ctrl-p,ctrl-q` or `a,ctrl-x`; nothing given is Docker's default. Throws `ApiFault`. */
export function detachKeys(text: string | null): readonly number[] {
  if (text === null || text === "") return DEFAULT_KEYS
  return text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0)
    const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase()
    const code = control === undefined ? undefined : CONTROLS[control] ?? letter(control)
    if (code === undefined) throw invalid(`invalid escape keys (${text}) provided`)
    return code
  })
}

const letter = (key: string): number | undefined =>
  key >= "a" && key <= "z" ? key.charCodeAt(0) - "a".charCodeAt(0) + 1 : undefined

/** Looks for the keys in what is typed. Bytes that may begin them are held back for as long. */
export class DetachWatch {
  readonly #keys: readonly number[]
  #matched = 0
  constructor(keys: readonly number[]) {
    this.#keys = keys
  }
  /** What of these bytes goes on to the container; null: the keys are complete. */
  take(bytes: Buffer): Buffer | null {
    const out: number[] = []
    for (const byte of bytes) {
      if (byte === this.#keys[this.#matched]) {
        if (++this.#matched === this.#keys.length) return null
        continue
      }
      out.push(...this.#keys.slice(0, this.#matched))
      this.#matched = byte === this.#keys[0] ? 1 : 0
      if (this.#matched === 0) out.push(byte)
    }
    return Buffer.from(out)
  }
}
