import * as Effect from "effect/Effect"
import { bodyLinux } from "../../src/layers/carrier-linux.ts"
import { Carrier } from "../../src/layers/carrier.ts"

/** A daemon with nothing but a carrier and one fetch: for a test to kill. */
const [settings, job] = process.argv.slice(2).map((text) => JSON.parse(text))
const watch = { progress: () => {}, retrying: () => {}, checkpoint: () => Effect.void }
const fetch = Effect.flatMap(Carrier, (carrier) => carrier.fetch(job, watch))
await Effect.runPromise(Effect.provide(fetch, bodyLinux(settings)))
