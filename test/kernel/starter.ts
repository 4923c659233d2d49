import * as Effect from "effect/Effect"
import { bodyLinux } from "../../src/kernel/runtime-linux.ts"
import { Runtime } from "../../src/kernel/runtime.ts"
import { specOf } from "./busybox.ts"

/** A daemon that starts one container, for a test that kills it meanwhile. */
const [execRoot = "", lower = "", home = "", cgroup = ""] = process.argv.slice(2)
const id = home.split("/").at(-1)!

await Effect.runPromise(
  Effect.gen(function*() {
    const runtime = yield* Runtime
    process.stdout.write("go\n")
    yield* runtime.start({
      id,
      lower: [lower],
      home,
      files: {},
      folders: [],
      shmBytes: null,
      spec: ({ path }) => specOf(path, { args: ["sleep", "1000"], cgroup, terminal: false }),
      terminal: false,
      stdin: false,
      stdinOnce: false,
      log: true,
      journal: null,
      endpoint: null,
    })
    yield* Effect.sleep("1 hour")
  }).pipe(Effect.provide(bodyLinux({ execRoot, runtime: null, cgroupParent: "/" }))),
)
