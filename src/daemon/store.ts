import * as Effect from "effect/Effect"
import { Ballast } from "../kernel/ballast.ts"
import { bootId } from "../kernel/processes.ts"
import { Database, isNoRoom, UnusableDatabase, wordsOf } from "../store/database.ts"
import { StoreBody } from "../store/store.ts"

const unusable = (error: unknown): UnusableDatabase =>
  error instanceof UnusableDatabase ? error : new UnusableDatabase(
    `${wordsOf(error)}: the start cannot be written down; make room on the disk of the data root`,
    { cause: error },
  )

const isFull = ({ cause }: UnusableDatabase): boolean => isNoRoom(cause)

/**
 * Opens the database, and notes which boot of the machine this is; closes it with the scope. Where
 * the disk has no room for that, the ballast is given up for it.
 */
export const openStore = (path: string) =>
  Effect.gen(function*() {
    const ballast = yield* Ballast
    const afloat = <A>(work: () => A): Effect.Effect<A, UnusableDatabase> => {
      const attempt = Effect.try({ try: work, catch: unusable })
      return Effect.catchIf(attempt, (fault) => isFull(fault) && ballast.give(), () => attempt)
    }
    const store = yield* Effect.acquireRelease(
      afloat(() => new StoreBody(new Database(path))),
      (store) => Effect.sync(() => store.db.close()),
    )
    const named = process.env["BALENA_ENGINE_BOOT_ID"] ?? bootId()
    const { boot, reboot } = yield* afloat(() => store.journal.boot(named))
    yield* Effect.sync(() => ballast.take())
    return { store, boot, reboot }
  })
