import { describe, test } from "vitest"
import { runtimeContract } from "../contracts/runtime.ts"
import { makeLinuxWorld, whyNot } from "./runtime-world.ts"

for (const runtime of ["crun", "runc"] as const) {
  const why = whyNot(runtime)
  if (why === null) runtimeContract(`Linux with ${runtime}`, () => makeLinuxWorld(runtime))
  else describe(`Runtime: Linux with ${runtime}`, () => test.skip(why))
}
