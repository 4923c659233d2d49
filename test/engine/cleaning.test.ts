import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { beforeEach, expect, test } from "vitest"
import { Device } from "../../simulations/world/device.ts"
import { Time } from "../../simulations/world/time.ts"
import { Loop } from "../../src/engine/loop.ts"
import { pull } from "../../src/engine/requests/pull.ts"
import { parseReference } from "../../src/oci/reference.ts"

/*
 * The whole engine on a simulated kernel that refuses to clean up for as long as it is told to.
 */
let device: Device
const [ID, OTHER] = ["a", "b"].map((letter) => letter.repeat(64)) as [string, string]
const PORT = { port: 80, protocol: "tcp", hostIp: "", hostPort: 8080 }

/** Lets ten minutes pass, in which whatever is tried again comes to its end. */
const pass = (): void => {
  const until = device.time.monoMs + 600_000
  while (device.time.run(1_000, until)) { /* goes on */ }
}
const ask = (id: string, event: { readonly type: string } & Record<string, unknown>): void => {
  device.ask(Effect.flatMap(Loop, (loop) => loop.ask(`container/${id}`, event, () => true)),
    () => {})
  pass()
}
/** Starts one; returns as soon as it runs: later it may end by itself. */
const start = (id: string): void => {
  const asked = Effect.flatMap(Loop, (loop) =>
    loop.ask(`container/${id}`, { type: "start" }, () => true))
  device.ask(asked, () => {})
  while (device.loop.snapshot(`container/${id}`)?.hasTag("running") !== true) device.time.run(1)
}
const stateOf = (id: string) => device.loop.snapshot(`container/${id}`)?.value
const create = (id: string): void => {
  const [image] = device.store.images.all()
  const row = {
    id,
    name: id,
    image: image!.id,
    imageName: "app",
    createdMs: 1,
    terms: {
      stopSignal: "SIGKILL", labels: {}, mounts: [], network: { mode: "bridge", ports: [PORT] },
    },
    given: {},
    layers: device.store.images.layers(image!.id),
  }
  ask(id, { type: "create", terms: { restart: "no", retries: 0, autoRemove: false }, row })
}

beforeEach(() => {
  device = new Device(new Time(1), {})
  device.start()
  pass()
  const { reference } = device.registry.images[0]!
  const parsed = Result.getOrThrow(parseReference(reference))
  device.ask(pull({ reference: parsed, platform: null, credentials: null }, () => {}), () => {})
  pass()
  create(ID)
  create(OTHER)
  start(ID)
  device.weather.stubborn = 1
  device.processes.all.get(ID)!.exit(0)
  pass()
  expect(stateOf(ID)).toBe("exited")
})

test("a container whose clean was given up keeps its claim; its next start takes it over", () => {
  const claim = device.claims.get(ID)
  const { pid } = device.processes.all.get(ID)!
  expect(claim).toBeDefined()
  device.weather.stubborn = 0
  ask(OTHER, { type: "start" })
  expect(device.store.containers.get(OTHER)!.state.error).toContain("port is already allocated")
  start(ID)
  expect(device.processes.all.get(ID)!.pid).not.toBe(pid)
  expect(device.claims.get(ID)).toEqual(claim)
  expect(device.store.containers.get(ID)!.state.network).toEqual(claim)
})

test("its removal cleans once more, and gives the claim back only if that goes through", () => {
  ask(ID, { type: "remove", force: false })
  expect(stateOf(ID)).toBe("dead")
  expect(device.claims.get(ID)).toBeDefined()
  device.weather.stubborn = 0
  ask(ID, { type: "remove", force: false })
  expect(stateOf(ID)).toBeUndefined()
  expect(device.claims.all()).toEqual([])
  ask(OTHER, { type: "start" })
  expect(device.store.containers.get(OTHER)!.state.error).toBe("")
})
