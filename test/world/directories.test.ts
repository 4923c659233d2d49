import * as Layer from "effect/Layer"
import { SimDirectories, simDirectories } from "../../simulations/world/disk.ts"
import { Directories } from "../../src/kernel/directories.ts"
import { directoriesContract } from "../contracts/directories.ts"

directoriesContract("simulated", () => {
  const disk = new SimDirectories()
  let made = 0
  return {
    body: Layer.succeed(Directories, simDirectories(disk)),
    fresh: () => `/data/${made++}`,
    put: (path) => disk.make(path),
    close: () => {},
  }
})
