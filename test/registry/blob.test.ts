import { createHash, randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import { afterEach, describe, expect, test } from "vitest"
import { EmbeddedRegistry, type Misdeed } from "../../simulations/world/registry.ts"
import { readBlob } from "../../src/registry/blob.ts"
import type { Registry } from "../../src/registry/registry.ts"
import { access, faultOf, run } from "./harness.ts"

const registries: EmbeddedRegistry[] = []
const start = async () => {
  const registry = await EmbeddedRegistry.start()
  registries.push(registry)
  return registry
}
afterEach(async () => {
  for (const registry of registries.splice(0)) await registry.close()
})

const bytes = randomBytes(1_000_000)
const causes: string[] = []

/** Reads the blob from a byte on; answers a hash of what came. */
const read = (
  registry: EmbeddedRegistry,
  digest: string,
  { from = 0, size = bytes.length, urls = [] as string[] } = {},
) =>
(client: Registry["Service"]) =>
  Effect.scoped(Effect.gen(function*() {
    causes.length = 0
    const source = { access: access(registry.host), repository: "app", digest, size, urls }
    const options = {
      backoff: { baseMs: 1, maxMs: 8 },
      retrying: (cause: string) => void causes.push(cause),
    }
    const reader = yield* readBlob(client, source, from, options)
    const hash = createHash("sha256")
    for (;;) {
      const piece = yield* reader.next
      if (piece === null) return hash.digest("hex")
      hash.update(piece)
    }
  }))

const hashFrom = (from: number) => createHash("sha256").update(bytes.subarray(from)).digest("hex")

describe("a blob", () => {
  test("from its beginning, from a byte on, from its end", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
    expect(await run(read(registry, digest, { from: 123_456 }))).toBe(hashFrom(123_456))
    expect(registry.seen.at(-1)).toMatchObject({ range: "bytes=123456-", status: 206 })
    const requests = registry.seen.length
    expect(await run(read(registry, digest, { from: bytes.length }))).toBe(hashFrom(bytes.length))
    expect(registry.seen.length).toBe(requests)
    const empty = registry.addBlob(new Uint8Array())
    await run(read(registry, empty, { size: 0 }))
  })
  test("goes on at the byte where the connection broke, with If-Range", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    registry.inject({ on: "blob", times: 1, misdeed: { do: "cut", afterBytes: 300_000 } })
    registry.inject({ on: "blob", times: 1, misdeed: { do: "answer", status: 502 } })
    registry.inject({ on: "blob", times: 1, misdeed: { do: "cut", afterBytes: 100_000 } })
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
    expect(causes).toHaveLength(3)
    expect(registry.seen.at(-1)!.ifRange).toBe(`"${digest}"`)
    expect(registry.bytesSent(digest)).toBeLessThan(bytes.length + 300_000)
  })
  test("a stalled connection is given up and replaced", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    registry.inject({ on: "blob", times: 1, misdeed: { do: "stall", afterBytes: 200_000 } })
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
    expect(causes[0]).toMatch(/timeout awaiting more of the response$/)
  })
  test("a registry without Range: what is known already is thrown away", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    registry.inject({ on: "blob", times: 1, misdeed: { do: "cut", afterBytes: 300_000 } })
    registry.inject({ on: "blob", misdeed: { do: "ignoreRange" } })
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
    expect(registry.seen.at(-1)).toMatchObject({ status: 200 })
  })
  test("without a Content-Length", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    registry.inject({ on: "blob", misdeed: { do: "chunked" } })
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
  })
  test("longer than the manifest says: refused, or cut where no length was announced", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    expect(await faultOf(read(registry, digest, { size: 1000 }))).toMatchObject({
      reason: "damaged",
    })
    registry.inject({ on: "blob", misdeed: { do: "chunked" } })
    const cut = createHash("sha256").update(bytes.subarray(0, 1000)).digest("hex")
    expect(await run(read(registry, digest, { size: 1000 }))).toBe(cut)
  })
  test.each<Misdeed>([
    { do: "truncate", bytes: 400_000 },
    { do: "lie", length: 2 ** 40 },
    { do: "lie", length: 10 },
    { do: "answer", status: 200, headers: {}, body: "short" },
    { do: "answer", status: 416 },
    { do: "answer", status: 206, headers: { "content-range": "bytes 5-9/10" }, body: "short" },
  ])("of the wrong length twice is damaged: %o", async (misdeed) => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    registry.inject({ on: "blob", misdeed })
    const fault = await faultOf(read(registry, digest))
    expect(fault).toMatchObject({ reason: "damaged", passing: false })
    expect(causes).toHaveLength(1)
  })
  test("unknown: ends at once", async () => {
    const registry = await start()
    const digest = `sha256:${"0".repeat(64)}`
    const fault = await faultOf(read(registry, digest))
    expect(fault).toMatchObject({
      reason: "notFound",
      cause: "blob unknown: blob unknown to registry",
    })
  })
})

describe("redirects", () => {
  test("are followed to another host, without the credentials", async () => {
    const storage = await start()
    const digest = storage.addBlob(bytes)
    const registry = await EmbeddedRegistry.start({
      auth: { kind: "bearer", username: "", password: "", anonymous: true },
    })
    registries.push(registry)
    const to = `http://${storage.host}/v2/app/blobs/${digest}`
    registry.inject({ on: "blob", misdeed: { do: "redirect", to } })
    storage.inject({ on: "blob", times: 1, misdeed: { do: "cut", afterBytes: 100_000 } })
    expect(await run(read(registry, digest))).toBe(hashFrom(0))
    expect(registry.seen.filter(({ kind }) => kind === "blob")).toHaveLength(2)
    expect(registry.seen.at(-1)!.authorization).toMatch(/^Bearer /)
    expect(storage.seen.every(({ authorization }) => authorization === null)).toBe(true)
    expect(storage.seen.at(-1)!.range).toBe("bytes=100000-")
  })
  test("that lead nowhere or in a circle end it", async () => {
    const registry = await start()
    const digest = registry.addBlob(bytes)
    for (const to of ["file:///etc/passwd", `http://${registry.host}/v2/app/blobs/${digest}`]) {
      registry.inject({ on: "blob", misdeed: { do: "redirect", to } })
      const fault = await faultOf(read(registry, digest))
      expect(fault).toMatchObject({ reason: "unsupported", passing: false })
      registry.heal()
    }
  })
})

test("foreign urls are asked first, without credentials; the registry last", async () => {
  const [foreign, registry] = [await start(), await start()]
  const digest = foreign.addBlob(bytes)
  registry.addBlob(bytes)
  const urls = [
    `http://${foreign.host}/v2/app/blobs/sha256:${"0".repeat(64)}`,
    `http://${foreign.host}/v2/app/blobs/${digest}`,
  ]
  expect(await run(read(registry, digest, { urls }))).toBe(hashFrom(0))
  expect(registry.bytesSent()).toBe(0)
  foreign.inject({ on: "blob", misdeed: { do: "cut", afterBytes: 500_000 } })
  expect(await run(read(registry, digest, { urls }))).toBe(hashFrom(0))
  expect(registry.bytesSent(digest)).toBeLessThanOrEqual(600_000)
})

test("two at once, where each piece of one lets the other read on", async () => {
  const registry = await start()
  const digest = registry.addBlob(bytes)
  const begun = Latch.makeUnsafe(false)
  const turn = Latch.makeUnsafe(true)
  let isOver = false
  const each = (client: Registry["Service"], before: Effect.Effect<void>, after: () => void) =>
    Effect.scoped(Effect.gen(function*() {
      const { length: size } = bytes
      const source = { access: access(registry.host), repository: "app", digest, size, urls: [] }
      const reader = yield* readBlob(client, source, 0, {
        backoff: { baseMs: 1, maxMs: 8 },
        retrying: () => {},
      })
      const hash = createHash("sha256")
      for (;;) {
        yield* before
        const piece = yield* reader.next
        if (piece === null) return hash.digest("hex")
        hash.update(piece)
        after()
      }
    }))
  const program = (client: Registry["Service"]) =>
    Effect.all([
      // Opening a latch runs whoever waits there at once, in the midst of what brought the piece.
      Effect.tap(each(client, begun.await, () => turn.openUnsafe()), () => {
        isOver = true
        return turn.open
      }),
      each(client, turn.await, () => {
        if (!isOver) turn.closeUnsafe()
        begun.openUnsafe()
      }),
    ], { concurrency: 2 })
  expect(await run(program)).toEqual([hashFrom(0), hashFrom(0)])
})

test("a reader that nobody asks takes no more than the kernel holds", async () => {
  const registry = await start()
  const large = randomBytes(32 * 1024 * 1024)
  const digest = registry.addBlob(large)
  await run((client) =>
    Effect.scoped(Effect.gen(function*() {
      const source = {
        access: access(registry.host),
        repository: "app",
        digest,
        size: large.length,
        urls: [],
      }
      const reader = yield* readBlob(client, source, 0, {
        backoff: { baseMs: 1, maxMs: 8 },
        retrying: () => {},
      })
      yield* reader.next
      let sent = -1
      while (sent !== registry.bytesSent()) {
        sent = registry.bytesSent()
        yield* Effect.sleep(100)
      }
      expect(sent).toBeLessThan(16 * 1024 * 1024)
    }))
  )
})

test("the last bytes of one answer are where the next of another are asked for", async () => {
  const registry = await start()
  const large = randomBytes(4 * 1024 * 1024)
  const [small, other] = [registry.addBlob(bytes), registry.addBlob(large)]
  const ask = (client: Registry["Service"], digest: string) =>
    client.blob({
      access: access(registry.host), repository: "app", digest, url: null, headers: {},
    })
  const ended = await run((client) =>
    Effect.scoped(Effect.gen(function*() {
      const [one, two] = [yield* ask(client, small), yield* ask(client, other)]
      yield* two.next
      yield* Effect.sleep(50) // more of it has come, and waits with its connection paused
      while ((yield* one.next) !== null) yield* Effect.void
      for (let received = 0;;) {
        const piece = yield* two.next
        if (piece === null) return received
        received += piece.length
      }
    }))
  )
  expect(ended).toBeGreaterThan(3 * 1024 * 1024)
})
