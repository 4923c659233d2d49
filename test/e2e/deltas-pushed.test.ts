import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { outcome } from "../../simulations/images/command.ts"
import { type Distribution, startDistribution } from "../../simulations/images/distribution.ts"
import { type MadeImage, putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { BALENA, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { belongings, expectIntact } from "./intact.ts"
import { errorIn, pull, UPDATE, USES_DELTA } from "./pulling.ts"

const VERSIONS = [1, 2] as const

describe.skipIf(whyNoEngine() !== null)("deltas on Debian's docker-registry", () => {
  let corner: Corner
  let maker: Engine
  let device: Engine
  let registry: Distribution
  const name = (version: 1 | 2) => `${registry.host}/app:v${version}`

  const balena = (...args: readonly string[]) =>
    outcome(BALENA, ["-H", `unix://${maker.place.socket}`, ...args])

  beforeAll(async () => {
    corner = await openCorner()
    registry = await startDistribution(join(corner.root, "registry"), {
      storage: join(corner.root, "storage"),
    })
    maker = await corner.start({ name: "maker" })
    device = await corner.start({ name: "device" })
    const origin = await EmbeddedRegistry.start()
    for (const version of VERSIONS) {
      const image = { repository: "app", tags: [`v${version}`], layers: UPDATE[version] }
      putImage(origin, { ...image, dialect: "docker" })
      await maker.done(["pull", `${origin.host}/app:v${version}`])
      await maker.done(["tag", `${origin.host}/app:v${version}`, name(version)])
      await maker.done(["rmi", `${origin.host}/app:v${version}`])
    }
    await origin.close()
  })
  afterAll(async () => {
    expect(await maker.stop()).toBe(0)
    expect(await device.stop()).toBe(0)
    await registry[Symbol.asyncDispose]()
    await corner[Symbol.asyncDispose]()
  })

  /** In which format the last layer of a delta in the registry is, by its first bytes. */
  const formatAt = async (digest: string): Promise<string> => {
    const headers = { accept: MEDIA.ociManifest }
    const at = (path: string) => fetch(`http://${registry.host}/v2/app/${path}`, { headers })
    const { layers } = await (await at(`manifests/${digest}`)).json() as MadeImage
    const blob = Buffer.from(await (await at(`blobs/${layers.at(-1)!.digest}`)).arrayBuffer())
    const tar = blob[0] === 0x1f ? gunzipSync(blob) : blob
    return tar.toString("latin1", 512, 518) === "BEDELT" ? "framed" : "rsync"
  }

  test("cannot be attached to what is not there", async () => {
    const said = await balena("image", "delta", "--push", name(1), name(2))
    expect(said.code).toBe(1)
    expect(said.stderr).toContain(`is not known to have ${name(2)}: push it first`)
  })

  test.each(["framed", "rsync"])("%s: made, pushed and found by a pull", async (format) => {
    for (const version of VERSIONS) await maker.done(["push", name(version)])
    const before = await belongings(maker)
    const said = await balena(
      "image", "delta", "--push", "--format", format, name(1), name(2),
    )
    expect(said.stderr).toBe("")
    expect(said.stdout).toContain("Created delta: sha256:")
    expect(await formatAt(/^digest: (sha256:[0-9a-f]{64})/m.exec(said.stdout)![1]!)).toBe(format)
    expect(said.stdout).toMatch(/^digest: sha256:[0-9a-f]{64} size: \d+$/m)
    await expectIntact(corner, before)

    expect(errorIn(await pull(device, name(1)))).toBeNull()
    const heard = await pull(device, name(2))
    expect(errorIn(heard)).toBeNull()
    expect(heard.lines.filter(({ status }) => USES_DELTA.test(status ?? ""))).toHaveLength(1)
    const inspect = ["inspect", "--format", "{{.Id}} {{.RepoDigests}}", name(2)]
    expect(await device.done(inspect)).toBe(await maker.done(inspect))
    await device.done(["rmi", name(1), name(2)])
    await expectIntact(corner, { ...await belongings(device), images: [], containers: "" })
  })
})
