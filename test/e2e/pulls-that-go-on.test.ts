import { describe, expect, test } from "vitest"
import { BadLink } from "../../simulations/world/bad-link.ts"
import type { MadeImage } from "../../simulations/world/image-maker.ts"
import type {
  EmbeddedRegistry, Misdeed, RegistryOptions,
} from "../../simulations/world/registry.ts"
import { whyNoEngine } from "./engine.ts"
import { furnishedEngine } from "./furnished.ts"
import { beginPull, pull, putApp, someLayers } from "./pulling.ts"

const answer = (status: number) => ({ do: "answer", status }) as const

describe.skipIf(whyNoEngine() !== null)("a pull goes on, and says so, after", () => {
  const device = furnishedEngine("goes-on")
  let registry: EmbeddedRegistry
  const start = async (options?: RegistryOptions) => {
    registry = await device.registry(options)
  }

  const RETRYING = /^Retrying in \d+ seconds?$/
  const succeeds = async (image: MadeImage, times: number) => {
    const reference = `${registry.host}/app:1`
    const { status, lines } = await pull(device.engine, reference)
    const retries = lines.filter((line) => RETRYING.test(line.status ?? ""))
    expect(retries).toHaveLength(times)
    const ids = image.layers.map(({ digest }) => digest.slice(7, 19))
    for (const { id } of retries) expect([...ids, "1"]).toContain(id)
    expect([status, lines.at(-1)?.status])
      .toEqual([200, `Status: Downloaded newer image for ${reference}`])
    await device.engine.done(["image", "rm", reference])
  }
  const LATER: readonly (readonly [string, "blob" | "config", Misdeed])[] = [
    ["5xx for a layer", "blob", answer(500)],
    ["429 with Retry-After for a layer", "blob",
      { do: "answer", status: 429, headers: { "retry-after": "1" } }],
    ["a cut connection", "blob", { do: "cut", afterBytes: 30_000 }],
    ["a corrupt layer", "blob", { do: "corrupt", at: 50_000 }],
    ["5xx for the configuration", "config", answer(503)],
  ]
  test.each(LATER)("%s", async (_, what, misdeed) => {
    await start()
    const image = putApp(registry)
    const name = what === "blob" ? image.layers[1]!.digest : image.imageId
    registry.inject({ on: "blob", name, times: 1, misdeed })
    await succeeds(image, 1)
  })

  test("a cut in a registry that knows Range, and in one that does not", async () => {
    await start()
    const layers = someLayers(3_000_000)
    const cut = { do: "cut", afterBytes: 2_000_000 } as const
    let image = putApp(registry, layers)
    const { digest, size } = image.layers[0]!
    registry.inject({ on: "blob", name: digest, times: 1, misdeed: cut })
    await succeeds(image, 1)
    const sent = registry.bytesSent(digest)
    expect(sent).toBeLessThan(size + 500_000) // only the rest was sent again
    image = putApp(registry, layers)
    registry.inject({ on: "blob", name: digest, times: 1, misdeed: cut })
    registry.inject({ on: "blob", name: digest, misdeed: { do: "ignoreRange" } })
    await succeeds(image, 1)
    expect(registry.bytesSent(digest) - sent).toBeGreaterThan(size + 1_500_000)
  })

  test("a token that expires in the middle", async () => {
    await start({ auth: { kind: "bearer", username: "jo", password: "x", anonymous: true } })
    const image = putApp(registry, someLayers(3_000_000, 100_000))
    const slow = { do: "slow", bytesPerS: 2_000_000 } as const
    registry.inject({ on: "blob", name: image.layers[0]!.digest, misdeed: slow })
    const pulling = await beginPull(device.engine, `${registry.host}/app:1`)
    let last = ""
    for await (const { status = "" } of pulling) {
      last = status
      if (status === "Extracting") {
        registry.expireTokens()
        registry.cutAll()
        registry.heal()
      }
    }
    expect(last).toMatch(/^Status: Downloaded newer image/)
    expect(registry.seen.filter(({ kind }) => kind === "token").length).toBeGreaterThan(1)
    await device.engine.done(["image", "rm", `${registry.host}/app:1`])
  })

  test("a registry that goes in the middle, and comes back", async () => {
    await start()
    const link = await BadLink.start({ to: registry.host, bytesPerS: 4_000_000 })
    putApp(registry, someLayers(6_000_000, 100_000))
    const pulling = await beginPull(device.engine, `${link.host}/app:1`)
    const retries: string[] = []
    let last = ""
    for await (const { status = "" } of pulling) {
      last = status
      if (status === "Extracting" && retries.length === 0) link.down()
      if (!RETRYING.test(status)) continue
      retries.push(status)
      if (retries.length === 2) link.up()
    }
    expect(retries.length).toBeGreaterThanOrEqual(2)
    expect(last).toMatch(/^Status: Downloaded newer image/)
    await device.engine.done(["image", "rm", `${link.host}/app:1`])
    await link.close()
  })
})
