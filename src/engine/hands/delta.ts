import * as Effect from "effect/Effect"
import type { DeltaTerms } from "../../../machines/delta.ts"
import { type Address, keyOf } from "../../../machines/words.ts"
import { Carrier } from "../../layers/carrier.ts"
import type { DeltaFormat } from "../../oci/delta.ts"
import { Store } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Paths } from "../paths.ts"
import { ProgressBoard } from "../progress.ts"

const tools = Effect.gen(function*() {
  return {
    store: yield* Store,
    carrier: yield* Carrier,
    paths: yield* Paths,
    board: yield* ProgressBoard,
  }
})
type Tools = Effect.Success<typeof tools>

/** Under which name the board tells of a part of a delta: 0 is its base, n its nth layer. */
export const partOf = (delta: Address, part: number): string => `${delta}#${part}`

/** Where a delta's layers are until its image is here. */
export const spoolOf = ({ spool }: Paths["Service"], delta: Address): string =>
  `${spool}/${keyOf(delta)}`

/** Hands for deltas in the making. */
export const deltaHands = Effect.map(tools, (tools): Hands => ({
  "delta.encode": {
    kind: "long",
    run: (order: Order<DeltaTerms>) =>
      order.attempt === "first" ? encode(tools, order) : Effect.succeed(interrupted),
  },
}))

const encode = (
  { store, carrier, paths, board }: Tools,
  { address, params }: Order<DeltaTerms>,
): Effect.Effect<MachineEvent> =>
  Effect.suspend(() => {
    const row = (layer: Address) => store.layers.get(layer)!
    const job = {
      base: params.base.map((layer) => paths.layer(row(layer).id)),
      targets: params.target.map((layer) => {
        const { id, diff_id: diffId } = row(layer)
        return { directory: paths.layer(id), diffId }
      }),
      format: params.format as DeltaFormat,
      directory: spoolOf(paths, address),
    }
    return carrier.encode(job, {
      progress: (part, current, total) =>
        board.tell({ of: partOf(address, part), current, total, retry: null }),
    })
  }).pipe(
    Effect.map((layers): MachineEvent => ({ type: "encoded", row: { layers } })),
    Effect.catch(({ reason, cause }) => Effect.succeed({ type: "encodeFailed", reason, cause })),
    Effect.ensuring(Effect.sync(() => {
      for (let part = 0; part <= params.target.length; part++) board.end(partOf(address, part))
    })),
  )

/** Who asked is gone with the crash, as is what had been made. */
const interrupted: MachineEvent = {
  type: "encodeFailed",
  reason: "interrupted",
  cause: "the engine stopped while the delta was being made: make it again",
}
