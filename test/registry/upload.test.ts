import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, test } from "vitest"
import { type Auth, EmbeddedRegistry, type Misdeed } from "../../simulations/world/registry.ts"
import { digestOf } from "../../src/oci/digest.ts"
import type { Registry } from "../../src/registry/registry.ts"
import {
  beginUpload, hasBlob, mountBlob, putManifest, type Session,
} from "../../src/registry/repository.ts"
import { Tries } from "../../src/registry/retry.ts"
import { type Content, putBlob } from "../../src/registry/upload.ts"
import { access, faultOf, run } from "./harness.ts"

const registries: EmbeddedRegistry[] = []
const start = async (auth?: Auth) => {
  const registry = await EmbeddedRegistry.start(auth === undefined ? {} : { auth })
  registries.push(registry)
  return registry
}
afterEach(async () => {
  for (const registry of registries.splice(0)) await registry.close()
})

const MIB = 2 ** 20
/** Three chunks, of which the last is short. */
const bytes = randomBytes(9 * MIB)
const causes: string[] = []
const tries = () =>
  new Tries({
    backoff: { baseMs: 1, maxMs: 8 },
    retrying: (cause) => void causes.push(cause),
  })

/** Bytes in pieces that fit no chunk; counts how often they are begun. */
const content = (whole: Uint8Array, begun = { times: 0 }): Content<never> =>
  Effect.sync(() => {
    begun.times += 1
    let at = 0
    const next = Effect.sync(() => {
      if (at >= whole.length) return null
      at += 100_003
      return whole.subarray(at - 100_003, at)
    })
    return { next, digest: () => digestOf(whole) }
  })

const targetOf = ({ host }: EmbeddedRegistry, credentials = {}) =>
  ({ access: access(host, credentials), repository: "app" })

const put = (registry: EmbeddedRegistry, whole: Uint8Array = bytes, begun = { times: 0 }) =>
  (client: Registry["Service"]) => {
    causes.length = 0
    return putBlob(client, targetOf(registry), content(whole, begun), tries())
  }

/** What came to the registry about uploads, a line each. */
const uploads = ({ seen }: EmbeddedRegistry): string[] =>
  seen.filter(({ kind }) => kind === "upload")
    .map(({ method, range, status }) => `${method} ${range ?? ""} ${status}`)

const expectWhole = async (registry: EmbeddedRegistry, whole: Uint8Array = bytes) => {
  const digest = digestOf(whole)
  expect(await run((client) => hasBlob(client, targetOf(registry), digest))).toBe(true)
}

describe("a blob", () => {
  test("goes in chunks, whose sum is named at the end", async () => {
    const registry = await start()
    const sent = await run(put(registry))
    expect(sent).toEqual({ digest: digestOf(bytes), size: bytes.length })
    expect(uploads(registry)).toEqual([
      "POST  202", "PATCH 0-4194303 202", "PATCH 4194304-8388607 202", "PATCH 8388608-9437183 202",
      "PUT  201",
    ])
    await expectWhole(registry)
  })
  test.each([0, 1, 1000, 4 * MIB - 1])("of %i bytes goes as one", async (length) => {
    const registry = await start()
    const small = bytes.subarray(0, length)
    expect(await run(put(registry, small))).toEqual({ digest: digestOf(small), size: length })
    expect(uploads(registry)).toEqual(["POST  202", "PUT  201"])
    await expectWhole(registry, small)
  })
  test("of exactly two chunks needs no third", async () => {
    const registry = await start()
    await run(put(registry, bytes.subarray(0, 8 * MIB)))
    expect(uploads(registry).slice(3)).toEqual(["PUT  201"])
  })
  test("goes in larger chunks where the registry asks for them", async () => {
    const registry = await start()
    registry.inject({
      on: "upload",
      name: "POST",
      times: 1,
      misdeed: {
        do: "answer",
        status: 202,
        headers: { location: "/v2/app/blobs/uploads/", "oci-chunk-min-length": "9000000" },
      },
    })
    registry.inject({ on: "upload", name: "PATCH", misdeed: { do: "answer", status: 400 } })
    await faultOf(put(registry))
    expect(uploads(registry).at(-1)).toBe("PATCH 0-8999999 400")
  })
})

describe("a connection that breaks", () => {
  test("is waited out, and the upload goes on at the byte that the registry has", async () => {
    const registry = await start()
    const begun = { times: 0 }
    const cut = (afterBytes: number): void =>
      registry.inject({ on: "upload", name: "PATCH", times: 1, misdeed: { do: "cut", afterBytes } })
    cut(1_000_000)
    cut(500_000)
    await run(put(registry, bytes, begun))
    await expectWhole(registry)
    expect(begun.times).toBe(1)
    expect(uploads(registry).filter((line) => line.startsWith("GET"))).toHaveLength(2)
    expect(uploads(registry)).toContain("PATCH 1500000-4194303 202")
    expect(registry.uploads.received).toBe(bytes.length)
  })
  test("before the registry has kept a byte: it begins anew", async () => {
    const registry = await start()
    const begun = { times: 0 }
    registry.inject({
      on: "upload", name: "PATCH", times: 1, misdeed: { do: "drop", afterBytes: 1000 },
    })
    await run(put(registry, bytes, begun))
    await expectWhole(registry)
    expect(begun.times).toBe(2)
  })
  test("and an upload that the registry has forgotten: it begins anew", async () => {
    const registry = await start()
    registry.inject({
      on: "upload", name: "PATCH", times: 1, misdeed: { do: "cut", afterBytes: 5000 },
    })
    registry.inject({
      on: "upload", name: "GET", times: 1, misdeed: { do: "answer", status: 404 },
    })
    await run(put(registry))
    await expectWhole(registry)
  })
  test("in the last answer: what is there is there", async () => {
    const registry = await start()
    registry.addBlob(bytes)
    registry.inject({ on: "upload", name: "PUT", times: 1, misdeed: { do: "cut", afterBytes: 0 } })
    await run(put(registry))
    expect(uploads(registry).filter((line) => line.startsWith("PUT"))).toHaveLength(1)
  })
  test("before the last word: that alone is said again", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PUT", times: 1, misdeed: { do: "answer", status: 502 } })
    const begun = { times: 0 }
    await run(put(registry, bytes, begun))
    await expectWhole(registry)
    expect(begun.times).toBe(1)
  })
  test("time and again, with nothing gained between: given up after five", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PATCH", misdeed: { do: "drop", afterBytes: 10 } })
    const fault = await faultOf(put(registry))
    expect(fault).toMatchObject({ reason: "unreachable", passing: true })
    expect(causes).toHaveLength(4)
  })
  test("time and again, with something gained each time: never given up", async () => {
    const registry = await start()
    registry.inject({
      on: "upload", name: "PATCH", times: 12, misdeed: { do: "cut", afterBytes: 300_000 },
    })
    await run(put(registry))
    await expectWhole(registry)
    expect(causes).toHaveLength(12)
  })
})

describe("a registry that", () => {
  test.each([404, 405, 501])("answers a PATCH with %i gets one piece", async (status) => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PATCH", misdeed: { do: "answer", status } })
    const begun = { times: 0 }
    await run(put(registry, bytes, begun))
    await expectWhole(registry)
    expect(begun.times).toBe(3) // for chunks, to be measured, to be sent
    expect(registry.uploads.received).toBe(bytes.length)
  })
  test("breaks off in the one piece gets it anew", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PATCH", misdeed: { do: "answer", status: 405 } })
    registry.inject({
      on: "upload", name: "PUT", times: 1, misdeed: { do: "cut", afterBytes: 2_000_000 },
    })
    await run(put(registry))
    await expectWhole(registry)
  })
  const unknownIs = "blob upload unknown: blob upload unknown"
  const coded = (code: string, message: string): string =>
    JSON.stringify({ errors: [{ code, message }] })
  test.each<[Misdeed & { do: "answer" }, string, string]>([
    [
      { do: "answer", status: 403, body: coded("DENIED", "requested access is denied") },
      "unauthorized",
      "denied: requested access is denied",
    ],
    [
      { do: "answer", status: 401, body: coded("UNAUTHORIZED", "authentication required") },
      "unauthorized",
      "unauthorized: authentication required",
    ],
    [
      { do: "answer", status: 413, body: "<html>" },
      "unsupported",
      "received unexpected HTTP status: 413 Payload Too Large",
    ],
    [
      { do: "answer", status: 404, body: coded("NAME_UNKNOWN", "no such repository") },
      "notFound",
      "name unknown: no such repository",
    ],
  ])("refuses: %o", async (misdeed, reason, cause) => {
    const registry = await start()
    registry.inject({ on: "upload", name: "POST", misdeed })
    const fault = await faultOf(put(registry))
    expect(fault).toMatchObject({ reason, passing: false })
    expect(fault.cause).toContain(cause)
    expect(causes).toEqual([])
  })
  const unknown = coded("BLOB_UPLOAD_UNKNOWN", "blob upload unknown")
  const lost = { do: "answer", status: 404, body: unknown } as const
  test("has forgotten the upload gets it anew", async () => {
    const registry = await start()
    const begun = { times: 0 }
    for (const name of ["PUT", "GET"]) {
      registry.inject({ on: "upload", name, times: 2, misdeed: lost })
    }
    await run(put(registry, bytes, begun))
    await expectWhole(registry)
    expect([begun.times, causes]).toEqual([3, [unknownIs, unknownIs]])
  })
  test("forgets each upload ends it after five tries", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PUT", misdeed: lost })
    const { cause } = await faultOf(put(registry))
    expect([cause, causes.length]).toEqual([unknownIs, 4])
  })
  test("never stands where it was told to ends it after five tries", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "PATCH", misdeed: { do: "answer", status: 416 } })
    const { cause } = await faultOf(put(registry))
    expect(cause).toMatch(/^Patch ".*": the registry does not go on at byte 0$/)
    expect(causes).toHaveLength(4)
  })
  test("is at a loss for good ends it after five tries", async () => {
    const registry = await start()
    registry.inject({ on: "upload", name: "POST", misdeed: { do: "answer", status: 500 } })
    const fault = await faultOf(put(registry))
    expect(fault.cause).toMatch(/^Post ".*": received unexpected HTTP status: 500 Internal/)
    expect(uploads(registry)).toHaveLength(5)
  })
})

test("what another repository has is mounted, what none has is begun instead", async () => {
  const registry = await start()
  const digest = registry.addBlob(bytes)
  const mount = (digest: string) =>
    run((client) => mountBlob(client, targetOf(registry), { digest, from: "other" }))
  expect(await mount(digest)).toBe("mounted")
  expect(registry.seen.at(-1)!.path).toContain(`mount=${encodeURIComponent(digest)}&from=other`)
  const session = await mount(digestOf("nothing"))
  const sent = await run((client) =>
    putBlob(client, targetOf(registry), content(bytes), tries(), session as Session))
  expect(sent.digest).toBe(digest)
  expect(uploads(registry).filter((line) => line.startsWith("POST"))).toHaveLength(2)
})

test("a token is asked for what is done, and of the one that lends", async () => {
  const auth = { kind: "bearer", username: "jo", password: "secret" } as const
  const registry = await start(auth)
  const target = targetOf(registry, { username: "jo", password: "secret" })
  await run((client) => beginUpload(client, target))
  const digest = registry.addBlob(bytes)
  await run((client) => mountBlob(client, target, { digest, from: "other" }))
  const scopes = registry.seen.filter(({ kind }) => kind === "token")
    .map(({ path }) => new URL(path, "http://x").searchParams.getAll("scope"))
  expect(scopes).toEqual([
    ["repository:app:pull,push"],
    ["repository:app:pull,push", "repository:other:pull"],
  ])
  const fault = await faultOf((client) => beginUpload(client, targetOf(registry)))
  expect(fault).toMatchObject({ reason: "unauthorized", passing: false })
})

test("a token that expires in mid upload is replaced", async () => {
  const auth = { kind: "bearer", username: "jo", password: "secret" } as const
  const registry = await start(auth)
  const target = targetOf(registry, { username: "jo", password: "secret" })
  let pieces = 0
  const expiring = Effect.map(content(bytes), (reading) => ({
    ...reading,
    next: Effect.tap(reading.next, () =>
      Effect.sync(() => ++pieces === 60 && registry.expireTokens())),
  }))
  await run((client) => putBlob(client, target, expiring, tries()))
  expect(uploads(registry).at(-1)).toBe("PUT  201")
  expect(registry.seen.filter(({ kind }) => kind === "token")).toHaveLength(2)
})

test("Basic: with a password, and without one in Docker's words", async () => {
  const registry = await start({ kind: "basic", username: "jo", password: "secret" })
  await run((client) =>
    beginUpload(client, targetOf(registry, { username: "jo", password: "secret" })))
  const fault = await faultOf((client) => beginUpload(client, targetOf(registry)))
  expect(fault.cause).toBe("no basic auth credentials")
})

test("a manifest is kept as it is, under a tag and under its digest", async () => {
  const registry = await start()
  const manifest = { mediaType: "application/x.test+json", bytes: Buffer.from('{"a": "ü"}') }
  const target = targetOf(registry)
  const digest = await run((client) => putManifest(client, target, "1", manifest, tries()))
  expect(digest).toBe(digestOf(manifest.bytes))
  const found = await run((client) => client.document(target.access, "app", digest))
  expect(found).toMatchObject({ mediaType: manifest.mediaType, digest })
  registry.inject({ on: "manifest", times: 1, misdeed: { do: "answer", status: 503 } })
  await run((client) => putManifest(client, target, digest, manifest, tries()))
})
