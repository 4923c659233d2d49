import * as Schema from "effect/Schema"

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
    "full", // the disk holds no more rows
  ]),
  address: Schema.String,
  /** The machine's state when it refused, in words: `running.paused`. */
  state: Schema.String,
  /** What stands in the way: an id, a name, a cause. */
  about: Schema.String,
}) {}
