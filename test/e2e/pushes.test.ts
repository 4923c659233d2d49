import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { dockerDone, images } from "../../simulations/bench/engines/docker.ts"
import { dockerd } from "../../simulations/bench/engines/dockerd.ts"
import { type Daemon, startDaemon } from "../../simulations/bench/engines/engine.ts"
import { busyboxImage } from "../../simulations/images/busybox.ts"
import { type Distribution, startDistribution } from "../../simulations/images/distribution.ts"
import { assemble, type BuiltImage, imageId } from "../../simulations/images/image.ts"
import { compress, tarOf } from "../../simulations/images/layer.ts"
import { push as pushBuilt } from "../../simulations/images/push.ts"
import { audit } from "../../simulations/powercut/audit.ts"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import { verifyImages } from "../../simulations/powercut/verify.ts"
import { BadLink } from "../../simulations/world/bad-link.ts"
import { call } from "../api/tools.ts"
import { noise } from "../layers/tarballs.ts"
import { type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { leftovers as leftBehind } from "./intact.ts"
import { errorIn } from "./pulling.ts"
import { push, type PushHeard, type PushLine, statusesOf } from "./pushing.ts"

/** `jo:secret`, as htpasswd -B writes it. */
const USERS = "jo:$2b$04$dKYE3sEijCnvUOSNPUjr/Orsnk71ne3bARvUvxblg6FEDnrjDMo/W\n"
const MIB = 2 ** 20
const VOLUME_MIB = 512

describe.skipIf(whyNoEngine() !== null)("pushes to Debian's docker-registry", () => {
  let corner: Corner
  let engine: Engine
  let theirs: Daemon
  let registry: Distribution
  let busybox: BuiltImage
  let made = 0

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "pushes" })
    const { mountPoint } = await makeVolume(corner.root, "dockerd", VOLUME_MIB)
    theirs = await startDaemon(corner.rig, dockerd, {
      name: "dockerd",
      dataRoot: join(mountPoint, "data"),
    })
    registry = await startDistribution(join(corner.root, "registry"), {
      storage: join(corner.root, "storage"),
    })
    busybox = await busyboxImage("gzip")
    await pushBuilt(busybox, registry.host, "origin", "1")
    await engine.done(["pull", `${registry.host}/origin:1`])
  })
  afterAll(async () => {
    await theirs.stop()
    expect(await engine.stop()).toBe(0)
    await registry[Symbol.asyncDispose]()
    await corner[Symbol.asyncDispose]()
  })

  const send = (name: string, tag: string | null, credentials = {}): Promise<PushHeard> =>
    push(engine.place.socket, name, tag, { credentials })
  const tagged = async (name: string, from = `${registry.host}/origin:1`): Promise<string> => {
    await engine.done(["tag", from, name])
    return name
  }
  /** An image of noise, loaded under a name; no other test has its layer. */
  const heavy = async (name: string, mebibytes: number): Promise<BuiltImage> => {
    const tree = join(corner.root, `heavy-${++made}`)
    mkdirSync(tree)
    writeFileSync(join(tree, "noise"), noise(mebibytes * MIB, made))
    const image = assemble([await compress(tarOf(tree), corner.root)], {})
    await pushBuilt(image, registry.host, `heavy-${made}`, "1")
    await engine.done(["pull", `${registry.host}/heavy-${made}:1`])
    await tagged(name, `${registry.host}/heavy-${made}:1`)
    return image
  }
  const leftovers = (): readonly string[] => leftBehind(corner, engine.place.dataRoot)
  const digestIn = ({ lines }: PushHeard): string =>
    lines.find(({ aux }) => aux !== undefined)!.aux!.Digest

  test("what was loaded here is pulled by dockerd as the same image", async () => {
    const { host } = registry
    await engine.done(["save", "-o", join(corner.root, "a.tar"), `${host}/origin:1`])
    const other = await corner.start({ name: "loaded" })
    await other.done(["load", "-i", join(corner.root, "a.tar")])
    await other.done(["tag", `${host}/origin:1`, `${host}/loaded:1`])
    const heard = await push(other.place.socket, `${host}/loaded`, "1")
    expect(statusesOf(heard)).toEqual([
      `The push refers to repository [${host}/loaded]`,
      "Preparing",
      "Pushing",
      "Pushed",
      expect.stringMatching(/^1: digest: sha256:[0-9a-f]{64} size: \d+$/),
      "aux",
    ])
    const [named] = JSON.parse(await other.done(["image", "inspect", `${host}/loaded:1`]))
    expect(named.RepoDigests).toContain(`${host}/loaded@${digestIn(heard)}`)
    expect(await other.stop()).toBe(0)
    await dockerDone(theirs.socket, ["pull", `${host}/loaded:1`])
    const [there] = await images(theirs.socket)
    expect(there!.Id).toBe(imageId(busybox))
    await verifyImages(theirs.socket)
    await dockerDone(theirs.socket, ["image", "rm", `${host}/loaded:1`])
  })

  test("what dockerd has pushed is pulled here, and goes back as it came", async () => {
    const { host } = registry
    await dockerDone(theirs.socket, ["load", "-i", join(corner.root, "a.tar")])
    await dockerDone(theirs.socket, ["tag", `${host}/origin:1`, `${host}/theirs:1`])
    const sent = await push(theirs.socket, `${host}/theirs`, "1")
    const own = await corner.start({ name: "back" })
    await own.done(["pull", `${host}/theirs:1`])
    expect(await verifyImages(own.place.socket)).toEqual([imageId(busybox)])
    await own.done(["tag", `${host}/theirs:1`, `${host}/back:1`])
    const back = await push(own.place.socket, `${host}/back`, "1")
    expect(statusesOf(back)).toContain("Mounted from theirs")
    expect(digestIn(back)).toBe(digestIn(sent))
    expect(await own.stop()).toBe(0)
    await dockerDone(theirs.socket, ["image", "prune", "-a", "-f"])
  })

  const HOW = ["gzip", "zstd", "none"] as const
  test.each(HOW)("what was pulled goes back as it was: %s", async (how) => {
    const image = await busyboxImage(how)
    const own = await corner.start({ name: `same-${how}` })
    const { host } = registry
    const digest = await pushBuilt(image, host, `same-${how}`, "1")
    await own.done(["pull", `${host}/same-${how}:1`])
    await own.done(["tag", `${host}/same-${how}:1`, `${host}/same-${how}-too:1`])
    for (const name of [`same-${how}`, `same-${how}-too`]) {
      const heard = await push(own.place.socket, `${host}/${name}`, "1")
      expect(errorIn(heard)).toBeNull()
      expect(digestIn(heard)).toBe(digest)
      expect(statusesOf(heard)).not.toContain("Pushing")
    }
    expect(await own.stop()).toBe(0)
  })

  test("again is not sent again; every tag goes, and to a sister by a mount", async () => {
    const { host } = registry
    await heavy(`${host}/many:a`, 5)
    await tagged(`${host}/many:b`, `${host}/many:a`)
    const all = statusesOf(await send(`${host}/many`, null))
    expect(all.filter((status) => !/^(Preparing|Pushing)$/.test(status))).toEqual([
      `The push refers to repository [${host}/many]`,
      expect.stringMatching(/^Mounted from heavy-\d+$/),
      expect.stringMatching(/^a: digest: /), "aux",
      "Layer already exists",
      expect.stringMatching(/^b: digest: /), "aux",
    ])
    await tagged(`${host}/sister:1`, `${host}/many:a`)
    const sister = await send(`${host}/sister`, "1")
    expect(statusesOf(sister)).toContain("Mounted from many")
    expect(await engine.done(["push", `${host}/many:a`]))
      .toMatch(/: Preparing\n\w+: Layer already exists\na: digest: sha256:/)
    expect(leftovers()).toEqual([])
  })

  test("goes on where the link broke", async () => {
    const image = await heavy("unused:1", 24)
    const link = await BadLink.start({ to: registry.host, bytesPerS: 12 * MIB, way: "up" })
    await tagged(`${link.host}/broken:1`, "unused:1")
    const pushing = send(`${link.host}/broken`, "1")
    const sent = () => link.bytes
    while (sent() < 10 * MIB) await sleep(20)
    link.down()
    await sleep(500)
    link.up()
    const heard = await pushing
    expect(errorIn(heard)).toBeNull()
    expect(statusesOf(heard)).toContain("Pushed")
    expect(statusesOf(heard).some((status) => /^Retrying in \d+ seconds?$/.test(status))).toBe(true)
    await dockerDone(theirs.socket, ["pull", `${registry.host}/broken:1`])
    expect((await images(theirs.socket)).map(({ Id }) => Id)).toContain(imageId(image))
    await dockerDone(theirs.socket, ["image", "prune", "-a", "-f"])
    await link.close()
  })

  test("its image may be removed meanwhile; a client that leaves ends it", async () => {
    const image = await heavy("gone:1", 8)
    const link = await BadLink.start({ to: registry.host, bytesPerS: 2 * MIB, way: "up" })
    const name = `${link.host}/gone`
    await tagged(`${name}:1`, "gone:1")
    const isPushing = ({ status }: PushLine): boolean => status === "Pushing"
    await push(engine.place.socket, name, "1", { until: isPushing })
    while (leftovers().length > 0) await sleep(100)
    let removed: Promise<unknown> | undefined
    const heard = await push(engine.place.socket, name, "1", {
      until: (line) => {
        if (isPushing(line)) {
          removed ??= engine.done(["image", "rm", "-f", imageId(image)])
            .finally(() => link.slow(Infinity))
        }
        return false
      },
    })
    expect(statusesOf(heard)).toContain("Pushed")
    expect(await removed).toContain(`Deleted: ${imageId(image)}`)
    while (leftovers().length > 0) await sleep(100)
    const { layers } = audit(engine.place.dataRoot, join(corner.root, "audit"))!
    const { rootfs } = JSON.parse(image.config.toString())
    expect(layers.map(({ diffId }) => diffId)).not.toContain(rootfs.diff_ids[0])
    await link.close()
  })

  test("what is not here is not found, before a word of it is said", async () => {
    const ask = (path: string) => call(engine.place.socket, "POST", `/images/${path}`)
    const { host } = registry
    expect(await ask("nothing/push?tag=1")).toMatchObject({
      status: 404,
      json: { message: "An image does not exist locally with the tag: nothing" },
    })
    expect(await ask(`${host}/origin/push?tag=9`)).toMatchObject({
      status: 404,
      json: { message: `tag does not exist: ${host}/origin:9` },
    })
    expect((await ask("Bad/push")).status).toBe(400)
  })

  test("no registry, and one that wants a password: as dockerd says it", async () => {
    const guarded = await startDistribution(join(corner.root, "guarded"), {
      storage: join(corner.root, "storage"),
      users: USERS,
    })
    const { host } = guarded
    await tagged(`${host}/origin:1`)
    await tagged("127.0.0.1:1/origin:1")
    await dockerDone(theirs.socket, ["load", "-i", join(corner.root, "a.tar")])
    for (const name of [`${host}/origin:1`, "127.0.0.1:1/origin:1"]) {
      await dockerDone(theirs.socket, ["tag", `${registry.host}/origin:1`, name])
    }
    const tries: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      ["127.0.0.1:1/origin", {}],
      [`${host}/origin`, {}],
      [`${host}/origin`, { username: "jo", password: "wrong" }],
      [`${host}/origin`, { username: "jo", password: "secret" }],
    ]
    for (const [name, credentials] of tries) {
      const ours = await push(engine.place.socket, name, "1", { credentials })
      const docker = await push(theirs.socket, name, "1", { credentials })
      const told = ({ status, lines }: PushHeard) =>
        [status, lines[0]?.status, lines.at(-1)?.error ?? Object.keys(lines.at(-1)?.aux ?? {})]
      expect(told(ours)).toEqual(told(docker))
    }
    expect(leftovers()).toEqual([])
    await guarded[Symbol.asyncDispose]()
  })

  test("an engine that is killed has nothing of it left, and pushes again", async () => {
    const image = await heavy("killed:1", 8)
    const link = await BadLink.start({ to: registry.host, bytesPerS: MIB, way: "up" })
    await tagged(`${link.host}/killed:1`, "killed:1")
    const pushing = send(`${link.host}/killed`, "1").catch(() => null)
    while (link.bytes < 2 * MIB) await sleep(50)
    await engine.kill()
    await pushing
    engine = await corner.start({ name: "pushes" })
    while (leftovers().length > 0) await sleep(100)
    const manifest = await fetch(`http://${registry.host}/v2/killed/manifests/1`)
    expect(manifest.status).toBe(404)
    expect(await verifyImages(engine.place.socket)).toContain(imageId(image))
    link.slow(Infinity)
    expect(statusesOf(await send(`${link.host}/killed`, "1"))).toContain("Pushed")
    await link.close()
  })
})
