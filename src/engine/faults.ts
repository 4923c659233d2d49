import * as Schema from "effect/Schema"
import type { Address } from "../../machines/words.ts"
import { wordsOf } from "../store/database.ts"

/** Why a request was not taken. Nothing of it was written down; the API words and numbers it. */
export class RequestFault extends Schema.TaggedError<RequestFault>()("RequestFault", {
  reason: Schema.Literals([
    "refused", // the machine cannot take it in its state
    "missing", // there is no such machine
    "nameTaken",
    "inUse",
    "notFound",
    "exists",
    "quarantined", // the machine met a defect, and is fed no more until a person looks
    "noRoom", // the disk takes no more rows
  ]),
  address: Schema.String,
  /** The machine's state when it refused, in words: `running.paused`. */
  state: Schema.String,
  /** What stands in the way: an id, a name, a cause. */
  about: Schema.String,
}) {
  override get message(): string {
    return this.reason === "noRoom" ? this.about : `${this.address}: ${this.reason} (${this.about})`
  }
}

/** A wish that could not be written down, as the disk takes no more rows. */
export const noRoomFor = (address: Address, error: unknown): RequestFault =>
  new RequestFault({
    reason: "noRoom",
    address,
    state: "",
    about: `${wordsOf(error)}: the engine cannot write down what it is asked to do; make room on ` +
      "the disk of its data root and ask again",
  })
