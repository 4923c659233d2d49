import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { Networks, type NetworkState } from "../../src/engine/networks.ts"
import { holds, parseCidr } from "../../src/net/pools.ts"
import type { Port, Terms } from "../../src/oci/terms.ts"
import type { StoreBody } from "../../src/store/store.ts"
import { terms } from "../oci/plain-terms.ts"

/** One machine. It outlives its daemons: each call of `body` is a new one on the same rows. */
export interface NetworksWorld {
  readonly store: StoreBody
  readonly body: () => Layer.Layer<Networks>
  /** Leaves a container in the kernel as a start does that no row tells of. */
  readonly leave: (id: string, network: NetworkState) => void
  /** A TCP port that a program of the host has. */
  readonly bound: number
  readonly close: () => void
}

const IMAGE = `sha256:${"a".repeat(64)}`

const onBridge = (...ports: readonly Port[]): Terms =>
  ({ ...terms, network: { ...terms.network, mode: "bridge", ports } })
const tcp = (hostPort: number): Port => ({ port: 80, protocol: "tcp", hostIp: "", hostPort })

/**
 * What every body of `Networks` must do.
 * @param whyNot why this body cannot be had here; null: it can.
 */
export const networksContract = (
  name: string, makeWorld: () => Promise<NetworksWorld>, whyNot: string | null = null,
): void => {
  describe.skipIf(whyNot !== null)(`Networks: ${name} ${whyNot ?? ""}`, () => {
    let world: NetworksWorld
    let daemon: ManagedRuntime.ManagedRuntime<Networks, never>

    beforeEach(async () => {
      world = await makeWorld()
      daemon = ManagedRuntime.make(world.body())
    })
    afterEach(async () => {
      await daemon.dispose()
      world.close()
    })
    const restart = async () => {
      await daemon.dispose()
      daemon = ManagedRuntime.make(world.body())
    }
    const ask = <A, E>(body: (networks: Networks["Service"]) => Effect.Effect<A, E>): Promise<A> =>
      daemon.runPromise(Effect.flatMap(Networks, body))
    const claim = async (id: string, ...ports: readonly Port[]): Promise<NetworkState> =>
      (await ask((networks) => networks.claim({ id, name: `n-${id}` }, onBridge(...ports))))!
    const refused = (id: string, ...ports: readonly Port[]) =>
      ask((networks) => Effect.flip(networks.claim({ id, name: `n-${id}` }, onBridge(...ports))))
    const release = (id: string) => ask((networks) => networks.release(id))
    /** Writes down what a container runs with, as the loop does. */
    const runs = (id: string, network: NetworkState): void => {
      world.store.db.run("INSERT OR IGNORE INTO image VALUES (?, x'', NULL, '', 0, 0)", IMAGE)
      world.store.containers.create({
        id, name: id, image: IMAGE, imageName: "i", createdMs: 1, terms, given: {}, layers: [],
      })
      world.store.containers.change(id, { network })
    }

    test("who is not on the bridge claims nothing", async () => {
      for (const mode of ["none", "host", "container:other"]) {
        const network = { ...terms.network, mode, ports: [tcp(8001)] }
        const given = await ask((networks) =>
          networks.claim({ id: "a", name: "a" }, { ...terms, network })
        )
        expect(given).toBeNull()
      }
      expect((await claim("b", tcp(8001))).ports).toEqual([tcp(8001)])
    })

    test("each has an address of its own, in the bridge's network", async () => {
      const given = [await claim("a"), await claim("b"), await claim("c")]
      const { name, subnet, gateway } = (await ask(({ bridge }) => bridge))!
      for (const state of given) {
        expect(state).toMatchObject({ bridge: name, gateway, ports: [], hairpin: false })
        expect(holds(parseCidr(subnet)!, state.address)).toBe(true)
      }
      const addresses = new Set(given.map(({ address }) => address))
      expect(addresses.size).toBe(3)
      expect(addresses).not.toContain(gateway)
      expect(new Set(given.map(({ link }) => link)).size).toBe(3)
      expect(new Set(given.map(({ mac }) => mac)).size).toBe(3)
    })

    test("what is released is given again; twice is no error", async () => {
      const first = await claim("a", tcp(8001))
      await ask((networks) => networks.publish("a"))
      await release("a")
      await release("a")
      const next = await claim("b", tcp(8001))
      expect([next.address, next.ports]).toEqual([first.address, first.ports])
    })

    test("who asks again has what it has still", async () => {
      const first = await claim("a", tcp(0))
      await ask((networks) => networks.publish("a"))
      await claim("b", tcp(0))
      expect(await claim("a", tcp(0))).toEqual(first)
      await ask((networks) => networks.publish("a"))
    })

    test("a port has one container; the other hears so in Docker's words", async () => {
      const first = await claim("a", tcp(8001))
      const fault = await refused("b", tcp(8002), tcp(8001))
      expect(fault).toMatchObject({
        exitCode: 125,
        cause: "driver failed programming external connectivity on endpoint n-b (b): " +
          "Bind for 0.0.0.0:8001 failed: port is already allocated",
      })
      await release("a")
      const { address, ports } = await claim("c", tcp(8001), tcp(8002))
      expect(address).toBe(first.address)
      expect(ports).toEqual([tcp(8001), tcp(8002)])
    })

    test("any port is one that nobody has", async () => {
      const given = [await claim("a", tcp(0), tcp(0)), await claim("b", tcp(0))]
      const ports = given.flatMap((state) => state.ports.map(({ hostPort }) => hostPort))
      expect(new Set(ports).size).toBe(3)
      expect(ports).not.toContain(0)
      expect(given[0]!.hairpin).toBe(true)
    })

    test("a port that a program of the host has is not given", async () => {
      const { bound } = world
      expect((await refused("a", tcp(bound))).cause).toContain("address already in use")
      const range: Port = { ...tcp(bound), hostPortLast: bound + 100 }
      expect((await claim("a", range)).ports[0]!.hostPort).toBeGreaterThan(bound)
    })

    test("who needs a port of one that leaves waits for it", async () => {
      await claim("a", tcp(8001))
      let others: readonly string[] = []
      const outcome = await ask((networks) =>
        Effect.gen(function*() {
          const asking = yield* Effect.forkChild(
            networks.leave("a", Effect.gen(function*() {
              const waiting = yield* Effect.forkDetach(
                networks.claim({ id: "b", name: "b" }, onBridge(tcp(8001))),
              )
              yield* Effect.sleep(5)
              expect(waiting.pollUnsafe()).toBeUndefined()
              const other = yield* networks.claim({ id: "c", name: "c" }, onBridge(tcp(8002)))
              others = [other!.address]
              yield* networks.release("a")
              return waiting
            })),
          )
          return yield* Effect.flatMap(Fiber.join(asking), Fiber.join)
        })
      )
      expect(outcome!.ports).toEqual([tcp(8001)])
      expect(others).not.toContain(outcome!.address)
    })

    test("one that leaves and keeps its port is waited for, then no more", async () => {
      await claim("a", tcp(8001))
      const fault = await ask((networks) =>
        Effect.gen(function*() {
          const waiting = yield* networks.leave("a", Effect.gen(function*() {
            const claiming = networks.claim({ id: "b", name: "b" }, onBridge(tcp(8001)))
            const fiber = yield* Effect.forkDetach(Effect.flip(claiming))
            yield* Effect.sleep(5)
            return fiber
          }))
          return yield* Fiber.join(waiting)
        })
      )
      expect(fault.cause).toContain("port is already allocated")
    })

    test("what a running container says it has is nobody else's", async () => {
      const held = await claim("a", tcp(8001))
      await release("a")
      await ask((networks) => Effect.sync(() => networks.hold("a", held)))
      expect((await claim("b")).address).not.toBe(held.address)
      expect((await refused("c", tcp(8001))).cause).toContain("already allocated")
    })

    test("a daemon that comes after knows from the rows what is claimed", async () => {
      const running = await claim("a", tcp(8001))
      runs("a", running)
      const ended = await claim("b", tcp(8002))
      await restart()
      expect((await refused("c", tcp(8001))).cause).toContain("already allocated")
      const next = await claim("d", tcp(8002))
      expect([next.address, next.ports]).toEqual([ended.address, ended.ports])
      await release("a")
      expect((await claim("e", tcp(8001))).address).toBe(running.address)
    })

    test("what a start has that no row tells of is its own after a crash", async () => {
      const started = await claim("a", tcp(8001))
      world.leave("a", started)
      await restart()
      expect((await claim("b")).address).not.toBe(started.address)
      expect((await refused("c", tcp(8001))).cause).toContain("already allocated")
      expect(await claim("a", tcp(8001))).toEqual(started)
    })
  })
}
