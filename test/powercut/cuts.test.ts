import { beforeAll, describe, expect, test } from "vitest"
import { busyboxImage, demoImages } from "../../simulations/images/busybox.ts"
import type { BuiltImage } from "../../simulations/images/image.ts"
import { patchworkImage } from "../../simulations/images/patchwork.ts"
import { containerScenario } from "../../simulations/powercut/containers.ts"
import { makeScenario } from "../../simulations/powercut/deltas.ts"
import { loadScenario } from "../../simulations/powercut/load.ts"
import { powercut } from "../../simulations/powercut/main.ts"
import { pullScenario } from "../../simulations/powercut/pull.ts"
import { pushScenario } from "../../simulations/powercut/push.ts"
import type { Finding, Scenario } from "../../simulations/powercut/scenario.ts"
import { whyNoEngine } from "../e2e/engine.ts"

/**
 * A few real power cuts of everything that can be cut short; `npm run powercut` makes as many as
 * one likes. The seed draws the instants, the machine how far the engine is by then: what must hold
 * holds wherever the cuts fall.
 */
const SEED = 7
const RATE = 16 * 2 ** 20
/** As the demonstration's test has it, so that it is built once. */
const DEMO_MIB = 64

const cutShort = async (scenario: Scenario, cuts: number): Promise<readonly Finding[]> => {
  const findings = await powercut(scenario, cuts, SEED)
  expect(findings).toHaveLength(cuts)
  for (const { label, kind, violations, log } of findings) {
    expect(violations, `${label}, ${kind}\n${log}`).toEqual([])
  }
  return findings
}

describe.skipIf(whyNoEngine() !== null)("after a power cut", () => {
  let image: BuiltImage
  beforeAll(async () => {
    image = await patchworkImage()
    await busyboxImage()
  })

  test("a pull goes on where it was, and ends with the right image", async () => {
    const findings = await cutShort(pullScenario({ image, rate: RATE }), 5)
    expect(findings.map(({ kind }) => kind)).toContain("resumed")
  })
  test("a pull of a delta goes on as well", async () => {
    const { v1, v2 } = await demoImages(DEMO_MIB)
    const findings = await cutShort(pullScenario({ image: v2, old: v1, rate: RATE / 8 }), 3)
    expect(findings.map(({ kind }) => kind)).toContain("resumed")
  })
  test("a delta is made, or can be made again", async () => {
    const { v1, v2 } = await demoImages(DEMO_MIB)
    await cutShort(makeScenario({ old: v1, new: v2 }), 3)
  })
  test("a load is there, or can be done again", async () => {
    await cutShort(loadScenario(image), 3)
  })
  test("a push has left nothing, and goes again", async () => {
    const busybox = await busyboxImage()
    const findings = await cutShort(pushScenario({ image: busybox, rate: 2 ** 20 }), 4)
    expect(findings.map(({ kind }) => kind)).toContain("in the midst")
  })
  test.each(["start", "stop", "remove"] as const)("a container's %s holds", async (about) => {
    await cutShort(containerScenario(about), 3)
  })
})
