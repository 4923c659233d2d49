import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { simCarrier } from "../../simulations/world/carrier.ts"
import { SimDirectories } from "../../simulations/world/disk.ts"
import { type SimBlob, SimRegistry } from "../../simulations/world/registry-sim.ts"
import { Life, Time } from "../../simulations/world/time.ts"
import { Carrier } from "../../src/layers/carrier.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { carrierContract, type CarrierWorld } from "../contracts/carrier.ts"
import { uploadContract } from "../contracts/uploads.ts"
import { playing } from "./playing.ts"

const simWorld = async (seed: number): Promise<CarrierWorld> => {
  const time = new Time(seed)
  const { body, stop } = playing(time)
  const directories = new SimDirectories()
  const registry = new SimRegistry()
  const scope = await Effect.runPromise(Scope.make())
  const carrier = await Effect.runPromise(
    simCarrier({
      time,
      life: new Life(),
      directories,
      registry,
      weather: { flaky: 0, broken: 0, stubborn: 0, injected: 0 },
      broken: {},
      fail: (violation) => {
        throw violation
      },
    }).pipe(Scope.provide(scope), Effect.provide(body)),
  )
  let made = 0
  const blobOf = (bytes: number): SimBlob => {
    const name = `layer ${++made}`
    const [digest, diffId] = [`${name}, packed`, name].map((text) => digestOf(Buffer.from(text)))
    return {
      digest: digest!, diffId: diffId!, size: bytes + 20, tarBytes: bytes + 1024, bytes, entries: 1,
    }
  }
  return {
    body: Layer.merge(Layer.succeed(Carrier, carrier.service), body),
    access: { host: "sim.io", insecure: false, credentials: null },
    put: async (layerBytes) => {
      const repository = `test/image-${++made}`
      const blobs = layerBytes.map(blobOf)
      const { resolved } = registry.put(repository, "latest", blobs)
      const { digest, imageId, layers } = resolved
      return {
        repository,
        tag: "latest",
        digest,
        imageId,
        layers: layers.map(({ diffId, source }, at) => ({
          diffId,
          source: source as typeof source & { readonly kind: "registry" },
          tarBytes: blobs[at]!.tarBytes,
        })),
      }
    },
    directory: () => `/data/overlay2/${++made}`,
    tree: async (directory) => {
      const there = directories.at(directory)
      return there === undefined ? null : new Map([["", `${there.offset} ${there.whole}`]])
    },
    sent: () => registry.sent,
    cutAfter: (digest, afterBytes, times) =>
      registry.inject(digest, times, { do: "cut", afterBytes }),
    stallAfter: (digest, afterBytes) => registry.inject(digest, 1, { do: "stall", afterBytes }),
    corrupt: (digest, times) => registry.inject(digest, times, { do: "corrupt" }),
    remove: (digest) => registry.inject(digest, Infinity, { do: "missing" }),
    heal: () => registry.heal(),
    kill: async () => carrier.kill(),
    isOpen: async (directory) => directories.isOpen(directory),
    close: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      stop()
    },
  }
}

for (const seed of [1, 2, 3]) {
  carrierContract(`the simulated child, seed ${seed}`, () => simWorld(seed))
  uploadContract(`the simulated child, seed ${seed}`, async () =>
    ({ ...await simWorld(seed), hide: () => {} }))
}
