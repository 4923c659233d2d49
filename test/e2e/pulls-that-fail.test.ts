import { gzipSync } from "node:zlib"
import { describe, expect, test } from "vitest"
import { putList } from "../../simulations/world/image-maker.ts"
import type {
  EmbeddedRegistry, Misdeed, RegistryOptions,
} from "../../simulations/world/registry.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { tarball } from "../layers/tarballs.ts"
import { whyNoEngine } from "./engine.ts"
import { furnishedEngine } from "./furnished.ts"
import { expectIntact } from "./intact.ts"
import { errorIn, pull, putApp } from "./pulling.ts"

const BASIC = { kind: "basic", username: "jo", password: "secret" } as const
const BEARER = { kind: "bearer", username: "jo", password: "secret" } as const
const errors = (code: string, message: string) => JSON.stringify({ errors: [{ code, message }] })
const answer = (status: number, body = "") => ({ do: "answer", status, body }) as const

describe.skipIf(whyNoEngine() !== null)("a pull that fails", () => {
  const device = furnishedEngine("fails")
  let registry: EmbeddedRegistry
  const start = async (options?: RegistryOptions) => (registry = await device.registry(options))

  /** The same request again, with nothing in its way any more: nothing has been spoilt. */
  const worksNow = async (reference = `${registry.host}/app:1`, credentials = {}) => {
    registry.heal()
    const heard = await pull(device.engine, reference, { credentials })
    expect(errorIn(heard)).toBeNull()
    expect(heard.lines.at(-1)?.status).toBe(`Status: Downloaded newer image for ${reference}`)
    await device.engine.done(["image", "rm", reference])
  }

  describe("before its first byte has an HTTP status and Docker's words", () => {
    const refused = async (reference: string, options = {}) => {
      const heard = await pull(device.engine, reference, options)
      expect(heard.lines).toHaveLength(1)
      return { status: heard.status, message: errorIn(heard) }
    }

    test("unknown tag, repository, digest", async () => {
      const { host } = await start()
      putApp(registry)
      const none = `sha256:${"a".repeat(64)}`
      const cases = {
        [`${host}/app:2`]: `manifest for ${host}/app:2 not found: manifest unknown`,
        [`${host}/app@${none}`]: `manifest for ${host}/app@${none} not found: manifest unknown`,
        [`${host}/none:1`]: `repository ${host}/none not found: name unknown`,
      }
      for (const [reference, message] of Object.entries(cases)) {
        expect(await refused(reference))
          .toEqual({ status: 404, message: expect.stringContaining(message) })
      }
      await worksNow()
    })

    test("names that cannot be, a platform that is none", async () => {
      await start()
      putApp(registry)
      const status = 400
      expect(await refused("a/UPPER:1")).toEqual(
        { status, message: "invalid reference format: repository name must be lowercase" },
      )
      expect(await refused(`${registry.host}/app:a b`))
        .toEqual({ status, message: "invalid tag format" })
      expect(await refused(`${registry.host}/app:1`, { platform: "zzz" })).toEqual({
        status, message: '"zzz": unknown operating system or architecture: invalid argument',
      })
      await worksNow()
    })

    test("nobody listens, nobody has that name: at once, with what the dialer says", async () => {
      const { host } = await start()
      putApp(registry)
      await registry.close()
      expect(await refused(`${host}/app:1`)).toEqual({
        status: 500,
        message: `Get "http://${host}/v2/": dial tcp ${host}: connect: connection refused`,
      })
      expect(await refused("no-such-host.invalid/app:1")).toEqual({
        status: 500,
        message: expect.stringMatching(/dial tcp: lookup no-such-host\.invalid: (no such|Temp)/),
      })
      await start({ port: Number(host.split(":")[1]) })
      putApp(registry)
      await worksNow()
    })

    test.each([
      ["Basic", BASIC, "unauthorized: authentication required"],
      ["Bearer", BEARER, "unauthorized: incorrect username or password"],
    ])("wrong credentials, %s: never a 401, at which the CLI asks for others", async (
      _, auth, words,
    ) => {
      const { host } = await start({ auth })
      putApp(registry)
      const reference = `${host}/app:1`
      const advice = `; log in with 'docker login ${host}'`
      for (const options of [{}, { authHeader: "!no json!" }]) {
        const { status, message } = await refused(reference, options)
        expect(status).toBe(500)
        expect(message).toMatch(/no basic auth credentials|unauthorized: authentication required/)
        expect(message).toContain(advice)
      }
      const wrong = { username: "jo", password: "wrong" }
      expect(await refused(reference, { credentials: wrong }))
        .toEqual({ status: 500, message: expect.stringContaining(words + advice) })
      await worksNow(reference, { username: "jo", password: "secret" })
    })

    test("a token that the registry knows to be worth nothing", async () => {
      await start({ auth: BEARER })
      putApp(registry)
      const reference = `${registry.host}/app:1`
      expect(await refused(reference, { credentials: { registrytoken: "stale" } }))
        .toEqual({ status: 500, message: expect.stringContaining("unauthorized: ") })
      await worksNow(reference, { username: "jo", password: "secret" })
    })

    test.each([
      ["is no JSON", MEDIA.dockerManifest, "{not json", "damaged image manifest: not JSON"],
      ["is a web page", "text/html", "<html>", "damaged image manifest: not JSON"],
      ["says nothing", MEDIA.ociManifest, "{}", "damaged image manifest: schemaVersion missing"],
      ["is of 2015", MEDIA.dockerSchema1, '{"schemaVersion":1}', "push the image again with a"],
    ])("a manifest that %s", async (_, mediaType, text, words) => {
      await start()
      registry.addManifest("app", mediaType, Buffer.from(text), "1")
      expect(await refused(`${registry.host}/app:1`))
        .toEqual({ status: 500, message: expect.stringContaining(words) })
      putApp(registry)
      await worksNow()
    })

    test("another manifest than the digest names", async () => {
      await start()
      const { digest, mediaType } = putApp(registry)
      const headers = { "content-type": mediaType }
      const misdeed = { do: "answer", status: 200, headers, body: "{}" } as const
      registry.inject({ on: "manifest", misdeed })
      expect(await refused(`${registry.host}/app@${digest}`)).toEqual(
        { status: 500, message: `manifest verification failed for digest ${digest}` },
      )
      expect(registry.seen.filter(({ kind }) => kind === "manifest")).toHaveLength(2) // once more
      await worksNow()
    })

    test("a registry that has no time: asked again for a while, and then told", async () => {
      await start()
      putApp(registry)
      const soon = { "retry-after": "1" }
      const later = { do: "answer", status: 429, headers: soon } as const
      registry.inject({ on: "manifest", times: 1, misdeed: later })
      await worksNow()
      putApp(registry)
      registry.inject({ on: "manifest", misdeed: { ...later, headers: { "retry-after": "900" } } })
      expect(await refused(`${registry.host}/app:1`))
        .toEqual({ status: 500, message: "toomanyrequests: too many requests" })
      registry.heal()
      registry.inject({ on: "manifest", misdeed: answer(503) })
      expect(await refused(`${registry.host}/app:1`)).toEqual({
        status: 500,
        message: expect.stringMatching(/received unexpected HTTP status: 503 Service Unavailable$/),
      })
      await worksNow()
    })
  })

  describe("after its first byte has status 200 and says so in the stream", () => {
    const failed = async (tag = "1") => {
      const heard = await pull(device.engine, `${registry.host}/app:${tag}`)
      expect(heard.status).toBe(200)
      expect(heard.lines[0]).toEqual({ status: "Pulling from app", id: tag })
      const { error, errorDetail } = heard.lines.at(-1)!
      expect(errorDetail).toEqual({ message: error })
      return error
    }
    /** A manifest made by hand as `app:odd`. */
    const odd = (layers: readonly Buffer[], config: object, type: string = MEDIA.dockerConfig) => {
      const bytes = Buffer.isBuffer(config) ? config : Buffer.from(JSON.stringify(config))
      const manifest = {
        schemaVersion: 2,
        mediaType: MEDIA.dockerManifest,
        config: { mediaType: type, size: bytes.length, digest: registry.addBlob(bytes) },
        layers: layers.map((layer) => ({
          mediaType: MEDIA.dockerLayerGzip, size: layer.length, digest: registry.addBlob(layer),
        })),
      }
      const text = Buffer.from(JSON.stringify(manifest))
      registry.addManifest("app", MEDIA.dockerManifest, text, "odd")
    }
    const configOf = (...diffIds: readonly string[]) =>
      ({ os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: diffIds } })
    const SOME_ID = `sha256:${"e".repeat(64)}`

    const CONFIGS: readonly (readonly [string, Misdeed, RegExp])[] = [
      ["missing", answer(404, errors("BLOB_UNKNOWN", "not here")), /^blob unknown: not here/],
      ["damaged", { do: "corrupt", at: 5 }, /^image config verification failed for digest sha256:/],
      ["refused", answer(403, errors("DENIED", "no")), /^pull access denied for .*docker login/],
    ]
    test.each(CONFIGS)("a configuration that is %s", async (_, misdeed, words) => {
      await start()
      const { imageId } = putApp(registry)
      registry.inject({ on: "blob", name: imageId, misdeed })
      expect(await failed()).toMatch(words)
      await worksNow()
    })

    test("a configuration that is no JSON, is no image's, or knows of other layers", async () => {
      await start()
      putApp(registry)
      const tar = tarball({ path: "a", content: "odd" })
      odd([], Buffer.from("{broken"))
      expect(await failed("odd")).toContain("invalid image configuration: not JSON")
      odd([], configOf(), "application/vnd.cncf.helm.config.v1+json")
      expect(await failed("odd")).toContain("not a container image: its configuration is applic")
      odd([gzipSync(tar)], configOf())
      expect(await failed("odd")).toBe("layers from manifest don't match image configuration")
      await worksNow()
    })

    test("a list without this machine's platform", async () => {
      await start()
      const image = putApp(registry)
      const platform = { os: "linux", architecture: "s390x", variant: "" }
      putList(registry, "app", "list", "oci", [{ image, platform }])
      expect(await failed("list"))
        .toMatch(/^no matching manifest for linux\/\w+ in the manifest list entries$/)
      await worksNow()
    })

    const TWICE = "filesystem layer verification failed for digest %s: .*push the image again$"
    const LAYERS: readonly (readonly [string, Misdeed, string])[] = [
      ["missing", answer(404, errors("BLOB_UNKNOWN", "blob unknown")), "^layer %s: blob unknown"],
      ["missing without a word", answer(404), "/blobs/%s\": received .* status: 404 Not Found$"],
      ["refused", answer(401), "%s\": unauthorized: authentication required; log in with"],
      ["forbidden", answer(403, errors("DENIED", "no")), "^pull access denied for .*denied: no$"],
      ["corrupt in its content", { do: "corrupt", at: 50_000 }, TWICE],
      ["corrupt in its head", { do: "corrupt", at: 3 }, TWICE],
      ["truncated", { do: "truncate", bytes: 50_000 }, "the manifest says .* the registry 50000"],
      ["longer than it may be", { do: "lie", length: 900_000 }, "says .* the registry 900000"],
    ]
    test.each(LAYERS)("a layer that is %s, and its whole layers go with it", async (
      _, misdeed, words,
    ) => {
      await start()
      const [first, second] = putApp(registry).layers
      registry.inject({ on: "blob", name: second!.digest, misdeed })
      expect(await failed()).toMatch(new RegExp(words.replaceAll("%s", second!.digest)))
      await expectIntact(device.corner, device.before) // of the first layer, too, nothing is left
      await worksNow()
      expect(registry.bytesSent(first!.digest)).toBeGreaterThan(first!.size)
    })

    test("a layer that is not what the image says, or nothing that can be unpacked", async () => {
      await start()
      putApp(registry)
      const tar = tarball({ path: "a", content: "x" })
      const cases: readonly (readonly [Buffer, RegExp])[] = [
        [gzipSync(tar), /the layer's tar is sha256:[0-9a-f]{64}, not sha256:eeee/],
        [gzipSync(tar.subarray(0, 600)), /the layer's tar has an end in the middle of an entry/],
        [gzipSync(Buffer.alloc(2000, "junk")), /the layer's tar has a checksum that is no number/],
        [Buffer.from("425a683900000000", "hex"), /compressed with bzip2; gzip, zstd or none/],
      ]
      for (const [layer, words] of cases) {
        odd([layer], configOf(SOME_ID))
        expect(await failed("odd")).toMatch(words)
      }
      await worksNow()
    })
  })

  describe("reads well in the docker CLI", () => {
    const said = async (...words: readonly string[]) => {
      const { code, stderr } = await device.engine.docker(words)
      return { code, stderr: stderr.trim().split("\n").at(-1) }
    }

    test("before the first byte and after it", async () => {
      const { host } = await start()
      const { layers } = putApp(registry)
      expect(await said("pull", `${host}/app:2`)).toEqual({
        code: 1,
        stderr: `Error response from daemon: manifest for ${host}/app:2 not found: `
          + "manifest unknown: manifest unknown",
      })
      expect((await said("run", "--rm", `${host}/none`)).code).toBe(125)
      registry.inject({ on: "blob", name: layers[1]!.digest, misdeed: { do: "corrupt", at: 9000 } })
      const { code, stderr } = await said("pull", `${host}/app:1`)
      expect(code).toBe(1)
      expect(stderr).toMatch(/^filesystem layer verification failed for digest sha256:.*again$/)
      await worksNow()
    })

    test("with credentials missing: no prompt takes their place", async () => {
      const { host } = await start({ auth: BASIC })
      putApp(registry)
      expect(await said("pull", `${host}/app:1`)).toEqual({
        code: 1,
        stderr: `Error response from daemon: Get "http://${host}/v2/app/manifests/1": `
          + `no basic auth credentials; log in with 'docker login ${host}'`,
      })
    })
  })
})
