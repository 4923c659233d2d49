import { simBallast, SimDatabase } from "../../simulations/world/disk.ts"
import { ballastContract } from "../contracts/ballast.ts"

ballastContract("simulated", () => {
  const disk = new SimDatabase()
  return {
    open: () => simBallast(disk),
    clear: () => {
      disk.ballast = false
    },
    fill: () => {
      disk.room = 0
    },
    makeRoom: () => {
      disk.room = Infinity
    },
    room: () => disk.room,
    close: () => disk.close(),
  }
})
