import type { Address } from "../../machines/words.ts"
import type { TimerRow } from "../store/journal.ts"
import type { RequestFault } from "./faults.ts"
import type { MachineEvent } from "./hand.ts"

/** What stands in the queue. Only a request can be refused; only a write carries no event. */
export type Input =
  | { kind: "request"; address: Address; event: MachineEvent; receipt: (receipt: Receipt) => void }
  | { kind: "answer"; command: number; event: MachineEvent | null; last: boolean }
  | { kind: "note"; address: Address; event: MachineEvent }
  | { kind: "due"; timer: TimerRow }
  | { kind: "write"; body: () => void; done: () => void }

/** What a client is told of its request: taken as this journal row, or why not. */
export type Receipt = { readonly seq: number } | { readonly fault: RequestFault }
