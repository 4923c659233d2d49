import { runtimeContract } from "../contracts/runtime.ts"
import { makeLinuxWorld, whyNot } from "./runtime-world.ts"

for (const runtime of ["crun", "runc"] as const) {
  runtimeContract(`Linux with ${runtime}`, () => makeLinuxWorld(runtime), whyNot(runtime))
}
