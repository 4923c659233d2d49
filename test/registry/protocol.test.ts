import { gzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { afterEach, describe, expect, test } from "vitest"
import { putImage } from "../../simulations/world/image-maker.ts"
import { type Auth, EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { DOCUMENT_BYTES_MAX } from "../../src/registry/registry.ts"
import { persist } from "../../src/registry/retry.ts"
import { access, faultOf, run } from "./harness.ts"

const registries: EmbeddedRegistry[] = []
const start = async (auth?: Auth) => {
  const registry = await EmbeddedRegistry.start(auth === undefined ? {} : { auth })
  registries.push(registry)
  const image = putImage(registry, {
    repository: "team/app",
    tags: ["1"],
    layers: [{ tar: new Uint8Array(1024), compression: "gzip" }],
    dialect: "docker",
  })
  return { registry, image }
}
afterEach(async () => {
  for (const registry of registries.splice(0)) await registry.close()
})

const BEARER = { kind: "bearer", username: "jo", password: "secret" } as const

describe("manifests", () => {
  test("by tag and by digest, the bytes as they are", async () => {
    const { registry, image } = await start()
    const [byTag, byDigest] = await run((client) =>
      Effect.all([
        client.document(access(registry.host), "team/app", "1"),
        client.document(access(registry.host), "team/app", image.digest),
      ])
    )
    expect(byTag.digest).toBe(image.digest)
    expect(digestOf(byTag.bytes)).toBe(image.digest)
    expect(byTag.mediaType).toBe(MEDIA.dockerManifest)
    expect(byDigest).toEqual(byTag)
  })
  test("unknown tag, unknown repository: Docker's words", async () => {
    const { registry } = await start()
    const { host } = registry
    const tag = await faultOf((client) => client.document(access(host), "team/app", "2"))
    expect(tag).toMatchObject({
      reason: "notFound",
      passing: false,
      cause: `manifest for ${host}/team/app:2 not found: manifest unknown: manifest unknown`,
    })
    const repository = await faultOf((client) => client.document(access(host), "none", "1"))
    expect(repository).toMatchObject({
      reason: "notFound",
      cause: `repository ${host}/none not found: name unknown: `
        + "repository name not known to registry",
    })
  })
  test("other bytes than the digest names are refused", async () => {
    const { registry, image } = await start()
    registry.inject({
      on: "manifest",
      times: 1,
      misdeed: { do: "answer", status: 200, body: "{}" },
    })
    const asked = (client: any) => client.document(access(registry.host), "team/app", image.digest)
    expect(await faultOf(asked)).toMatchObject({
      reason: "digestMismatch",
      cause: `manifest verification failed for digest ${image.digest}`,
    })
  })
  test("a manifest of more than 4 MiB is refused, with and without a Content-Length", async () => {
    const { registry } = await start()
    const body = "x".repeat(DOCUMENT_BYTES_MAX + 1)
    for (const headers of [{}, { "content-length": String(body.length) }]) {
      registry.inject({
        on: "manifest",
        times: 1,
        misdeed: { do: "answer", status: 200, headers, body },
      })
      const fault = await faultOf((client) =>
        client.document(access(registry.host), "team/app", "1")
      )
      expect(fault).toMatchObject({ reason: "unsupported", passing: false })
    }
  })
})

describe("configs", () => {
  test("are checked for size and digest", async () => {
    const { registry, image } = await start()
    const digest = image.imageId
    const get = (size: number) => (client: any) =>
      client.content(access(registry.host), "team/app", { digest, size })
    const { bytes } = await run((client) => client.document(access(registry.host), "team/app", "1"))
    const { size } = JSON.parse(Buffer.from(bytes).toString()).config
    expect(digestOf(await run<Uint8Array>(get(size)))).toBe(digest)
    for (const wrong of [size - 1, size + 1]) {
      expect(await faultOf(get(wrong))).toMatchObject({ reason: "digestMismatch" })
    }
    registry.inject({ on: "blob", name: digest, times: 1, misdeed: { do: "corrupt", at: 3 } })
    expect(await faultOf(get(size))).toMatchObject({ reason: "digestMismatch" })
    expect(await faultOf(get(DOCUMENT_BYTES_MAX + 1))).toMatchObject({ reason: "unsupported" })
  })
})

describe("authentication", () => {
  const pull = (host: string, credentials: Parameters<typeof access>[1]) => (client: any) =>
    client.document(access(host, credentials), "team/app", "1") as Effect.Effect<any, any>

  test("none asked: none sent", async () => {
    const { registry } = await start()
    await run(pull(registry.host, { username: "jo", password: "secret" }))
    expect(registry.seen.every(({ authorization }) => authorization === null)).toBe(true)
  })
  test("basic", async () => {
    const { registry } = await start({ kind: "basic", username: "jo", password: "secret" })
    const { host } = registry
    await run(pull(host, { username: "jo", password: "secret" }))
    expect(await faultOf(pull(host, { username: "jo", password: "wrong" }))).toMatchObject({
      reason: "unauthorized",
      passing: false,
    })
    expect(await faultOf(pull(host, null))).toMatchObject({
      reason: "unauthorized",
      cause: `Get "http://${host}/v2/team/app/manifests/1": no basic auth credentials; `
        + `log in with 'docker login ${host}'`,
    })
  })
  test("bearer: password, anonymous, refresh token, ready-made token", async () => {
    const { registry } = await start({ ...BEARER, identityToken: "refresh" })
    const { host } = registry
    await run(pull(host, { username: "jo", password: "secret" }))
    const token = registry.seen.find(({ kind }) => kind === "token")!
    expect(token.path).toContain("scope=repository%3Ateam%2Fapp%3Apull")
    expect(token.path).toContain("account=jo")
    registry.seen.length = 0
    await run(pull(host, { identityToken: "refresh" }))
    const traded = registry.seen.find(({ kind }) => kind === "token")!
    expect(traded.method).toBe("POST")
    expect(new URLSearchParams(traded.body).get("refresh_token")).toBe("refresh")
    const bearer = registry.seen.at(-1)!.authorization!.replace("Bearer ", "")
    registry.seen.length = 0
    await run(pull(host, { registryToken: bearer }))
    expect(registry.seen.some(({ kind }) => kind === "token")).toBe(false)
    const anonymous = await start({ ...BEARER, anonymous: true })
    await run(pull(anonymous.registry.host, null))
  })
  test("bearer: wrong password, nobody, a dead ready-made token end at once", async () => {
    const { registry } = await start(BEARER)
    const { host } = registry
    const wrong = await faultOf(pull(host, { username: "jo", password: "wrong" }))
    expect(wrong).toMatchObject({ reason: "unauthorized", passing: false })
    expect(wrong.cause).toMatch(/unauthorized: incorrect username or password; log in with 'docker/)
    expect(await faultOf(pull(host, null))).toMatchObject({
      reason: "unauthorized",
      passing: false,
    })
    const dead = await faultOf(pull(host, { registryToken: "dead" }))
    expect(dead).toMatchObject({ reason: "unauthorized", passing: false })
  })
  test("tokens are kept, and replaced when they have expired", async () => {
    const { registry } = await start(BEARER)
    const jo = { username: "jo", password: "secret" }
    const tokens = () => registry.seen.filter(({ kind }) => kind === "token").length
    await run((client) =>
      Effect.gen(function*() {
        yield* pull(registry.host, jo)(client)
        yield* pull(registry.host, jo)(client)
        expect(tokens()).toBe(1)
        registry.expireTokens()
        yield* pull(registry.host, jo)(client)
        expect(tokens()).toBe(2)
      })
    )
  })
  test("what a bearer challenge says was wrong decides the words", async () => {
    const { registry } = await start()
    registry.inject({
      on: "manifest",
      misdeed: {
        do: "answer",
        status: 401,
        headers: { "www-authenticate": "Bearer realm=\"x\",error=\"insufficient_scope\"" },
      },
    })
    const { host } = registry
    const fault = await faultOf(pull(host, { registryToken: "small" }))
    expect(fault).toMatchObject({
      reason: "unauthorized",
      cause: `pull access denied for ${host}/team/app, repository does not exist or may require `
        + "'docker login': denied: requested access to the resource is denied",
    })
  })
  test("a login is a ping", async () => {
    const { registry } = await start(BEARER)
    const jo = access(registry.host, { username: "jo", password: "secret" })
    await run((client) => client.ping(jo))
    const wrong = access(registry.host, { username: "jo", password: "wrong" })
    expect(await faultOf((client) => client.ping(wrong))).toMatchObject({ reason: "unauthorized" })
  })
})

describe("passing faults", () => {
  const pull = (host: string) => (client: any) =>
    client.document(access(host), "team/app", "1") as Effect.Effect<any, any>

  test("5xx, 429 with Retry-After, a cut connection", async () => {
    const { registry } = await start()
    const { host } = registry
    const answers = [
      { status: 503, headers: { "retry-after": "7" }, retryAfterMs: 7_000 },
      { status: 429, headers: { "retry-after": "1" }, retryAfterMs: 1_000 },
      { status: 500, headers: {}, retryAfterMs: null },
    ] as const
    for (const { status, headers, retryAfterMs } of answers) {
      registry.inject({ on: "manifest", times: 1, misdeed: { do: "answer", status, headers } })
      expect(await faultOf(pull(host))).toMatchObject({ passing: true, retryAfterMs })
    }
  })
  const unavailable = { do: "answer", status: 503 } as const
  /** Pulls with so much patience; the causes of what was tried again are written down. */
  const patient = (host: string, patienceMs: number, causes: string[]) => (client: any) =>
    persist(pull(host)(client), {
      backoff: { baseMs: 20, maxMs: 20 },
      patienceMs,
      retrying: (cause) => causes.push(cause),
    })

  test("are waited out as long as there is patience", async () => {
    const { registry: { host }, registry } = await start()
    const causes: string[] = []
    registry.inject({ on: "manifest", times: 2, misdeed: unavailable })
    await run(patient(host, 60_000, causes))
    expect(causes).toHaveLength(2)
    expect(causes[0]).toMatch(/received unexpected HTTP status: 503 Service Unavailable$/)
    registry.inject({ on: "manifest", misdeed: unavailable })
    expect(await faultOf(patient(host, 100, causes))).toMatchObject({ reason: "unreachable" })
  })
  test("a host that cannot be reached is one for those who see it tried again", async () => {
    const { registry: { host }, registry } = await start()
    await registry.close()
    const causes: string[] = []
    expect((await faultOf(patient(host, 60_000, causes))).cause)
      .toBe(`Get "http://${host}/v2/": dial tcp ${host}: connect: connection refused`)
    expect(causes).toEqual([])
    const pulled = run(patient(host, Infinity, causes))
    while (causes.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
    const again = await EmbeddedRegistry.start({ port: Number(host.split(":")[1]) })
    putImage(again, { repository: "team/app", tags: ["1"], layers: [], dialect: "docker" })
    await pulled
    await again.close()
  })
  test("a host that does not exist", async () => {
    const fault = await faultOf(pull("no-such-host.invalid"))
    expect(fault).toMatchObject({ reason: "unreachable", passing: true })
    expect(fault.cause).toMatch(/: dial tcp: lookup no-such-host\.invalid: /)
  })
})

test("a gzip layer is served as it was made", async () => {
  const { registry, image } = await start()
  expect(image.layers[0]!.digest).toBe(digestOf(gzipSync(new Uint8Array(1024))))
  expect(registry.bytesSent()).toBe(0)
})
