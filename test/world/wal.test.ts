import * as Layer from "effect/Layer"
import { SimDatabase, simWal } from "../../simulations/world/disk.ts"
import { Time } from "../../simulations/world/time.ts"
import { Wal } from "../../src/kernel/wal.ts"
import { walContract } from "../contracts/wal.ts"
import { notesIn } from "../contracts/notes.ts"
import { playing } from "./playing.ts"

for (const seed of [1, 2, 3]) {
  const time = new Time(seed)
  walContract(`simulated, seed ${seed}`, async () => ({
    make: async () => {
      const database = new SimDatabase()
      const notes = notesIn(database)
      database.sync()
      const { body, stop } = playing(time)
      return {
        body: Layer.merge(Layer.succeed(Wal, simWal(database, time, {})), body),
        commit: notes.commit,
        empty: () => database.checkpoint(),
        cut: async () => {
          database.cut(time)
          return notes.all()
        },
        close: async () => stop(),
      }
    },
    close: async () => {},
  }))
}
