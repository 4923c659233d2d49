import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { askJson } from "../../simulations/bench/engines/docker.ts"
import { busyboxImage } from "../../simulations/images/busybox.ts"
import { type Distribution, startDistribution } from "../../simulations/images/distribution.ts"
import {
  assemble, blobBytes, type BuiltImage, imageId, sha256,
} from "../../simulations/images/image.ts"
import { compress, tarOf } from "../../simulations/images/layer.ts"
import { push, pushList } from "../../simulations/images/push.ts"
import { audit } from "../../simulations/powercut/audit.ts"
import { verifyImages } from "../../simulations/powercut/verify.ts"
import { BadLink } from "../../simulations/world/bad-link.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { call } from "../api/tools.ts"
import { noise } from "../layers/tarballs.ts"
import { type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { type Belongings, belongings, clearOut, expectIntact, furnish } from "./intact.ts"
import { beginPull, encoded, errorIn, pull, type Pulling } from "./pulling.ts"

/** `jo:secret`, as htpasswd -B writes it. */
const USERS = "jo:$2b$04$dKYE3sEijCnvUOSNPUjr/Orsnk71ne3bARvUvxblg6FEDnrjDMo/W\n"
const MIB = 2 ** 20

/** The same layers in OCI's words. */
const asOci = ({ layers }: BuiltImage, labels = {}): BuiltImage =>
  assemble(
    layers.map((layer) => ({ ...layer, mediaType: MEDIA.ociLayerGzip })),
    { Cmd: ["sh"], Labels: labels },
  )

describe.skipIf(whyNoEngine() !== null)("Debian's docker-registry", () => {
  let corner: Corner
  let engine: Engine
  let before: Belongings
  let registry: Distribution
  let storage: string
  /** One layer of noise, some MiB long: it does not compress, and takes its time on a slow link. */
  const heavy = async (name: string, mebibytes: number): Promise<BuiltImage> => {
    const tree = join(corner.root, name)
    mkdirSync(tree)
    writeFileSync(join(tree, name), noise(mebibytes * MIB, mebibytes))
    return assemble([await compress(tarOf(tree), corner.root)], {})
  }

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "registries" })
    await furnish(engine)
    before = await belongings(engine)
    storage = join(corner.root, "storage")
    registry = await startDistribution(join(corner.root, "open"), { storage })
  })
  afterEach(() => expectIntact(corner, before))
  afterAll(async () => {
    await clearOut(engine)
    expect(await engine.stop()).toBe(0)
    await registry[Symbol.asyncDispose]()
    await corner[Symbol.asyncDispose]()
  })

  /** Pulls, checks every byte and runs it, and takes it away again. */
  const isGood = async (reference: string, image: BuiltImage): Promise<void> => {
    await engine.done(["pull", reference])
    const [found] = JSON.parse(await engine.done(["image", "inspect", reference]))
    expect(found.Id).toBe(imageId(image))
    expect(await verifyImages(engine.place.socket)).toContain(imageId(image))
    const said = ["run", "--rm", "--network", "none", reference, "echo", "runs"]
    expect(await engine.done(said)).toBe("runs\n")
    await engine.done(["image", "rm", "--force", found.Id])
  }

  const KINDS: readonly (readonly [string, () => Promise<BuiltImage>])[] = [
    ["schema 2, gzip", () => busyboxImage("gzip")],
    ["OCI, gzip", async () => asOci(await busyboxImage("gzip"))],
    ["OCI, zstd", () => busyboxImage("zstd")],
    ["OCI, plain", () => busyboxImage("none")],
  ]
  test.each(KINDS)("by tag and by digest: %s", async (kind, make) => {
    const image = await make()
    const repository = kind.toLowerCase().replace(/[^a-z0-9]+/g, "-")
    const digest = await push(image, registry.host, repository, "1")
    await isGood(`${registry.host}/${repository}:1`, image)
    await isGood(`${registry.host}/${repository}@${digest}`, image)
  })

  test.each([MEDIA.dockerList, MEDIA.ociIndex])("a list by platform: %s", async (mediaType) => {
    const { host } = registry
    const built = await busyboxImage("gzip")
    const mine = mediaType === MEDIA.ociIndex ? asOci(built) : built
    const other = mediaType === MEDIA.ociIndex
      ? asOci(built, { is: "the other" })
      : assemble(built.layers, { Cmd: ["sh"], Labels: { is: "the other" } })
    for (const image of [mine, other]) await push(image, host, "listed", imageId(image).slice(7))
    const architecture = process.arch === "x64" ? "amd64" : process.arch
    const digest = await pushList([
      { image: other, platform: { os: "linux", architecture: "s390x" } },
      { image: mine, platform: { os: "linux", architecture } },
    ], mediaType, host, "listed", "1")
    await isGood(`${host}/listed:1`, mine)
    await isGood(`${host}/listed@${digest}`, mine)
    const said = await engine.done(["pull", "--platform", "linux/s390x", `${host}/listed:1`])
    expect(said).toContain(`Digest: ${digest}`) // of what was asked for, so that it can be again
    expect(await engine.done(["image", "inspect", "-f", "{{.Id}}", `${host}/listed:1`]))
      .toBe(`${imageId(other)}\n`)
    await engine.done(["image", "rm", `${host}/listed:1`])
    expect(await askJson(engine.place.socket, "GET", `/distribution/${host}/listed:1/json`))
      .toMatchObject({
        Descriptor: { mediaType, digest },
        Platforms: [{ os: "linux", architecture: "s390x" }, { os: "linux", architecture }],
      })
  })

  test("two pulls at once share one fetch; what is here already is not fetched", async () => {
    const image = await heavy("shared", 8)
    for (const tag of ["1", "2"]) await push(image, registry.host, "shared", tag)
    const link = await BadLink.start({ to: registry.host, bytesPerS: 8 * MIB })
    const references = ["1", "1", "2"].map((tag) => `${link.host}/shared:${tag}`)
    const heard = await Promise.all(references.map((reference) => pull(engine, reference)))
    expect(heard.map(errorIn)).toEqual([null, null, null])
    expect(link.bytes).toBeLessThan(1.1 * blobBytes(image))
    const fetched = link.bytes
    const again = await pull(engine, references[0]!)
    expect(again.lines.at(-1)?.status).toBe(`Status: Image is up to date for ${references[0]}`)
    expect(link.bytes - fetched).toBeLessThan(MIB)
    await engine.done(["image", "rm", ...new Set(references)])
    await link.close()
  })

  describe("a client that goes away", () => {
    let link: BadLink
    const until = async (pulling: Pulling, bytes: number) => {
      for await (const _ of pulling) if (link.bytes >= bytes) return
      throw new Error("it ended before")
    }
    const standing = () => {
      const found = audit(engine.place.dataRoot, join(corner.root, "audit"))
      const image = [...found!.machines].find(([address]) => address.startsWith("image/"))
      return image?.[1].value
    }
    afterEach(() => link.close())

    test("and comes back joins its pull: it sees where it stands", async () => {
      const image = await heavy("joined", 8)
      await push(image, registry.host, "joined", "1")
      link = await BadLink.start({ to: registry.host, bytesPerS: 2 * MIB })
      const reference = `${link.host}/joined:1`
      const first = await beginPull(engine, reference)
      await until(first, 2 * MIB)
      first.leave()
      const second = await beginPull(engine, reference)
      const lines: (string | undefined)[] = []
      for await (const { status } of second) lines.push(status)
      expect(lines[0]).toBe("Pulling from joined")
      expect(lines.slice(1, 4)).toEqual(["Pulling fs layer", "Ready to download", "Extracting"])
      expect(lines.at(-1)).toBe(`Status: Downloaded newer image for ${reference}`)
      expect(link.bytes).toBeLessThan(1.1 * blobBytes(image))
      await engine.done(["image", "rm", reference])
    })

    test("leaves a parked pull, which no failed try undoes, and which goes on", async () => {
      const image = await heavy("parked", 24)
      await push(image, registry.host, "parked", "1")
      link = await BadLink.start({ to: registry.host, bytesPerS: 8 * MIB })
      const reference = `${link.host}/parked:1`
      const first = await beginPull(engine, reference)
      await until(first, 14 * MIB)
      link.silence()
      first.leave()
      while (standing() !== "parked") await sleep(200) // once the grace is over
      link.up()
      link.down()
      const refused = await pull(engine, reference)
      expect(refused.status).toBe(500)
      expect(errorIn(refused)).toMatch(/: (connection reset by peer|unexpected EOF)$/)
      expect(standing()).toBe("parked")
      link.up()
      link.slow(Infinity)
      const had = link.bytes
      const last = await pull(engine, reference)
      expect(last.lines.at(-1)?.status).toBe(`Status: Downloaded newer image for ${reference}`)
      expect(link.bytes - had).toBeLessThan(blobBytes(image) - 8 * MIB + 64 * 1024)
      expect(await verifyImages(engine.place.socket)).toContain(imageId(image))
      await engine.done(["image", "rm", reference])
    })
  })

  describe("with a password", () => {
    let guarded: Distribution
    let image: BuiltImage
    beforeAll(async () => {
      image = await busyboxImage("gzip")
      await push(image, registry.host, "guarded", "1")
      guarded = await startDistribution(join(corner.root, "guarded"), { storage, users: USERS })
    })
    afterAll(() => guarded[Symbol.asyncDispose]())

    const right = { username: "jo", password: "secret" }
    const wrong = { username: "jo", password: "wrong" }

    test("a pull needs the right credentials, in its header", async () => {
      const reference = `${guarded.host}/guarded:1`
      for (const [options, words] of [
        [{}, "no basic auth credentials"],
        [{ credentials: wrong }, "unauthorized: authentication required"],
      ] as const) {
        const refused = await pull(engine, reference, options)
        expect(refused.status).toBe(500)
        expect(errorIn(refused)).toContain(`${words}; log in with 'docker login ${guarded.host}'`)
      }
      const heard = await pull(engine, reference, { credentials: right })
      expect(heard.lines.at(-1)?.status).toBe(`Status: Downloaded newer image for ${reference}`)
      await engine.done(["image", "rm", reference])
      const path = `/distribution/${reference}/json`
      const header = { "x-registry-auth": encoded(right) }
      const { socket } = engine.place
      expect((await call(socket, "GET", path)).status).toBe(401)
      expect((await call(socket, "GET", path, undefined, header)).json)
        .toMatchObject({ Descriptor: { digest: sha256(image.manifest) } })
    })

    test("a login tries them", async () => {
      const { socket } = engine.place
      const login = (body: unknown) => call(socket, "POST", "/v1.41/auth", body)
      const serveraddress = guarded.host
      expect((await login({ ...right, serveraddress })).json)
        .toEqual({ Status: "Login Succeeded", IdentityToken: "" })
      const url = `http://${guarded.host}/v2/`
      const named = { Username: "jo", PASSWORD: "secret", serverAddress: url }
      expect((await login(named)).status).toBe(200)
      for (const credentials of [wrong, { username: "jo" }, {}]) {
        const { status, json } = await login({ ...credentials, serveraddress })
        expect(status).toBe(401)
        expect(json.message).toMatch(/\/v2\/": (unauthorized: authentication req|no basic auth)/)
      }
      const nobody = await login({ ...right, serveraddress: "127.0.0.1:1" })
      expect(nobody.status).toBe(500)
      expect(nobody.json.message).toMatch(/dial tcp 127\.0\.0\.1:1: connect: connection refused$/)
      expect((await login({ ...right, serveraddress: "http://a b" })).status).toBe(400)
      expect((await login("{")).json).toEqual({ message: "invalid JSON: unexpected EOF" })
    })

    test("the docker CLI logs in, pulls with what it has kept, and logs out", async () => {
      const { host } = guarded
      const enter = (password: string) =>
        engine.docker(["login", "--username", "jo", "--password-stdin", host], password)
      const refused = await enter("wrong")
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain("unauthorized: authentication required")
      expect((await enter("secret")).stdout).toContain("Login Succeeded")
      await isGood(`${host}/guarded:1`, image)
      await engine.done(["logout", host])
      expect((await engine.docker(["pull", `${host}/guarded:1`])).stderr)
        .toContain("no basic auth credentials")
    })
  })
})
