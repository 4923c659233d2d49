import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"

describe.skipIf(whyNoEngine() !== null)("what is called a volume", () => {
  let corner: Corner
  let engine: Engine
  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "volumes" })
    await engine.done(["load", "--input", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await engine.stop()
    await corner[Symbol.asyncDispose]()
  })

  test("is a directory of the container's own, there although the image lacks it", async () => {
    const create = ["create", "--name", "vol", "--network", "none", "-v", "/new/place"]
    const script = "echo x >> /new/place/f && cat /new/place/f"
    const created = await engine.docker([...create, "busybox:1.29", "sh", "-c", script])
    expect(created.stderr).toContain("The volume /new/place is kept in the container itself")
    expect(await engine.done(["start", "-a", "vol"])).toBe("x\n")
    expect(await engine.done(["start", "-a", "vol"])).toBe("x\nx\n")
    await engine.done(["rm", "vol"])
  })
})
