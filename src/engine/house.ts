import type { Ballast } from "../kernel/ballast.ts"
import type { Wal } from "../kernel/wal.ts"
import { isNoRoom } from "../store/database.ts"
import type { StoreBody } from "../store/store.ts"

/** The write-ahead log is emptied when it has passed this. */
const WAL_MOST = 4 * 1024 * 1024

/**
 * What there is to do when nothing else is: the ballast is taken again where it was given, the log
 * emptied if it has grown. Where there is no room for that, the log grows a little longer.
 */
export const keepHouse = (
  store: StoreBody,
  wal: Wal["Service"],
  ballast: Ballast["Service"],
): void => {
  ballast.take()
  if (wal.size() < WAL_MOST) return
  try {
    store.journal.prune()
    store.db.checkpoint()
  } catch (error) {
    if (!isNoRoom(error)) throw error
  }
}
