import * as Effect from "effect/Effect"
import type { AnyMachineSnapshot } from "xstate"
import type { Store } from "../store/store.ts"
import { definitionOf, freeze, newborn, thaw } from "./living.ts"
import type { LoopBody } from "./loop.ts"

/**
 * Brings back what the rows say: machines to life, open commands to the hands, timers to the clock.
 * Reconciling with the kernel is no step of its own: a command that is carried out again finds out
 * what became of its process, directory or mount.
 */
export const recover = (loop: LoopBody, store: Store["Service"]) =>
  Effect.gen(function*() {
    for (const row of store.journal.machines()) {
      const definition = definitionOf(row.address)
      const revived = thaw(definition, row)
      if (revived === undefined) yield* Effect.logWarning(`${row.address} is reborn`)
      const snapshot: AnyMachineSnapshot = revived ?? newborn(definition)
      if (revived === undefined) {
        store.journal.keep(row.address, definition.version, row.seq, freeze(definition, snapshot))
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
