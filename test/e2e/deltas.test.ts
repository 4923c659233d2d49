import { join } from "node:path"
import { ask, textOf } from "../../simulations/bench/engines/docker.ts"
import { outcome } from "../../simulations/images/command.ts"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { BALENA, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { belongings, expectIntact } from "./intact.ts"

const FIXTURES = join(import.meta.dirname, "../fixtures")
const archive = (name: string): string => join(FIXTURES, `${name}.tar.gz`)
/** Of busybox 1.29, which the delta makes. */
const TARGET = "sha256:758ec7f3a1ee85f8f08399b55641bfb13e8c1109287ddc5e22b68c3d653152ee"

describe.skipIf(whyNoEngine() !== null)("deltas that balenaEngine made", () => {
  let corner: Corner
  let engine: Engine

  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "deltas" })
  })
  afterAll(async () => {
    expect(await engine.stop()).toBe(0)
    await corner[Symbol.asyncDispose]()
  })

  const load = (name: string) => engine.docker(["load", "--input", archive(name)])

  const refused = async ({ place }: Engine, src: string, dest: string, extra = "") => {
    const path = `/images/delta?src=${src}&dest=${dest}${extra}`
    const answer = await ask(place.socket, "POST", path)
    return { status: answer.status, ...JSON.parse(await textOf(answer)) }
  }

  test("without its base", async () => {
    const said = await load("busybox-delta")
    expect(said.code).toBe(1)
    expect(said.stderr).toMatch(/^loading delta base image "(sha256:[0-9a-f]{64})": failed to get/m)
  })

  test.each([
    ["busybox-delta-bad-magic", "Got magic number baaaaaad rather than expected value 72730236"],
    ["busybox-delta-truncated", "unexpected EOF"],
  ])("%s", async (name, cause) => {
    await engine.done(["load", "--input", archive("busybox-1.24")])
    const before = await belongings(engine)
    const said = await load(name)
    expect(said.code).toBe(1)
    expect(said.stderr).toContain(cause)
    await expectIntact(corner, before)
  })

  test("one of our own, made where both images are and applied where the base is", async () => {
    const maker = await corner.start({ name: "maker" })
    await maker.done(["load", "--input", archive("busybox-1.24")])
    await maker.done(["load", "--input", archive("busybox-1.29")])
    const said = await outcome(BALENA, [
      "-H", `unix://${maker.place.socket}`, "image", "delta", "-t", "busybox:step", "busybox:1.24",
      "busybox:1.29",
    ])
    expect(said.code).toBe(0)
    const path = join(corner.root, "step.tar")
    await maker.done(["save", "--output", path, "busybox:step"])
    const before = await belongings(maker)
    const ask404 = ["nope", "busybox:1.29"] as const
    expect(await refused(maker, ...ask404)).toEqual({
      status: 404, message: "no such image: nope: No such image: nope:latest",
    })
    const same = ["busybox:1.24", "busybox:1.29"] as const
    for (const [names, extra, message] of [
      [["busybox:1.24", ""], "", /must name an image/],
      [["UPPER", "busybox:1.29"], "", /lowercase/],
      [same, `&t=a@sha256:${"a".repeat(64)}`, /build tag cannot contain a digest/],
      [same, "&format=zip", /one of rsync, framed/],
      [same, "&src=busybox:1.24&t=busybox:both", /the same tag/],
      [["busybox:1.24", "busybox:step"], "", /is a delta itself/],
    ] as const) {
      const said = await refused(maker, names[0], names[1], extra)
      expect(said).toEqual({ status: 400, message: expect.stringMatching(message) })
    }
    await expectIntact(corner, before)
    expect(await maker.stop()).toBe(0)
    const loaded = await engine.docker(["load", "--input", path])
    expect(loaded.stdout).toContain("Loaded image: busybox:step")
    expect(await engine.done(["images", "--no-trunc", "--quiet", "busybox:step"])).toContain(TARGET)
    await engine.done(["rmi", "busybox:step"])
  })

  test("over its base", async () => {
    const said = await load("busybox-delta")
    expect(said).toMatchObject({ code: 0 })
    expect(await engine.done(["images", "--no-trunc", "--quiet"])).toContain(TARGET)
    expect((await belongings(engine)).images).toHaveLength(2)
  })
})
