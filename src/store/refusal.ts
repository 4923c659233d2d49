/**
 * A request that cannot be written down, and why: nothing of it stays. `reason` is for whoever
 * words the answer, `about` names what stands in the way.
 */
export class Refusal extends Error {
  readonly reason: "nameTaken" | "inUse" | "notFound" | "exists"
  readonly about: string
  constructor(reason: Refusal["reason"], about: string) {
    super(`${reason}: ${about}`)
    this.name = "Refusal"
    this.reason = reason
    this.about = about
  }
}
