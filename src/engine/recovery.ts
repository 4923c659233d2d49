import * as Effect from "effect/Effect"
import { type Address, keyOf, nounOf } from "../../machines/words.ts"
import type { Terms } from "../oci/terms.ts"
import type { MachineRow } from "../store/journal.ts"
import type { StoreBody } from "../store/store.ts"
import type { MachineEvent } from "./hand.ts"
import { definitionOf, newborn, thaw } from "./living.ts"
import type { LoopBody } from "./loop.ts"
import { decisive } from "./requests/container.ts"

/**
 * Brings back what the rows say: machines to life, open commands to the hands, timers to the clock.
 * Reconciling with the kernel is no step of its own: a command that is carried out again finds out
 * what became of its process, directory or mount.
 */
export const recover = (loop: LoopBody, store: StoreBody) =>
  Effect.gen(function*() {
    for (const row of store.journal.machines()) {
      const definition = definitionOf(row.address)
      const snapshot = thaw(definition, row)
      if (snapshot === undefined) {
        yield* Effect.logWarning(`${row.address} is reborn: its snapshot cannot be read`)
        yield* rebirth(loop, store, row)
        continue
      }
      const quarantine = row.version === definition.version ? row.quarantine : null
      loop.restore.machine(row.address, { snapshot, seq: row.seq, rows: 64, quarantine })
    }
    for (const row of store.journal.commands()) loop.restore.command(row)
    const now = loop.now()
    for (const row of store.journal.timers()) {
      // Within one boot only the monotonic clock counts. After another one the wall clock tells
      // what is left, at most the whole delay: a clock that was set back neither stalls nor
      // stretches it.
      const left = row.boot === now.boot
        ? row.due_mono_ms - now.monoMs
        : Math.min(Math.max(row.due_wall_ms - now.wallMs, 0), row.delay_ms)
      loop.restore.timer({ ...row, due_mono_ms: now.monoMs + left })
    }
  })

/**
 * A machine whose snapshot cannot be read (a later version's, say) forgets all that it had asked
 * for, and begins anew with what its rows say of it. One of which no row says anything is gone. Its
 * own row stays until it has begun: a crash before that finds it again.
 */
const rebirth = (loop: LoopBody, store: StoreBody, { address, seq }: MachineRow) =>
  Effect.sync(() => {
    store.journal.drop(address)
    const event = asRowsSay(store, address)
    if (event === null) return store.journal.forget(address)
    const snapshot = newborn(definitionOf(address))
    loop.restore.machine(address, { snapshot, seq, rows: 64, quarantine: null })
    loop.post(address, event)
  })

const asRowsSay = (store: StoreBody, address: Address): MachineEvent | null => {
  const key = keyOf(address)
  switch (nounOf(address)) {
    case "engine":
      return null // it hears of its boot anyway
    case "image":
    case "delta":
    case "push":
      return { type: "reborn" }
    case "container": {
      const row = store.containers.get(key)
      const terms = row === undefined ? null : decisive(row.terms as Terms)
      return { type: "reborn", terms, ran: (row?.state.pid ?? 0) > 0 }
    }
    case "layer": {
      const row = store.layers.get(address)
      if (row === undefined) return null
      const waiters = store.layers.leases().filter(({ kept, holder }) =>
        kept === address && nounOf(holder) === "image")
      return {
        type: "reborn",
        whole: row.ready === 1,
        waiters: waiters.map(({ holder }) => holder),
      }
    }
  }
}
