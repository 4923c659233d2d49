import { setup } from "xstate"
import { describe as suite, expect, test } from "vitest"
import { CATALOG } from "../machines/catalog.ts"
import { describe, draw, FORMATS } from "../machines/draw.ts"

const lamp = setup({
  actions: { "light.on": () => {}, note: () => {} },
  guards: { dark: () => true },
  delays: { patience: 1000 },
}).createMachine({
  id: "lamp",
  initial: "off",
  on: { smash: { target: ".broken" } },
  states: {
    off: { tags: "resting", on: { press: { guard: "dark", target: "on", actions: "note" } } },
    on: {
      entry: "light.on",
      type: "parallel",
      after: { patience: "off" },
      states: {
        bulb: { initial: "warm", states: { warm: { on: { wait: "hot" } }, hot: {} } },
        fan: { initial: "slow", states: { slow: { on: { press: { actions: "note" } } } } },
      },
    },
    broken: { type: "final", on: {} },
  },
})
const live = { on: { bulb: "hot", fan: "slow" } }

suite("a machine is drawn", () => {
  test("as text, its live states marked", () => {
    expect(`\n${draw(lamp, live, "text")}`).toBe(`
lamp
  smash -> broken
  - off  (first, #resting)
      press [dark] / note -> on
  * on  (parallel)
      entry / light.on
      after patience -> off
      * bulb
          - warm  (first)
              wait -> on.bulb.hot
          * hot
      * fan
          * slow  (first)
              press / note
  - broken  (final)
`)
  })

  test("as Mermaid, each arrow in the state that holds both its ends", () => {
    expect(`\n${draw(lamp, live, "mermaid")}`).toBe(`
stateDiagram-v2
  [*] --> off
  state "off" as off
  state "on" as on {
    state "bulb" as on_bulb {
      [*] --> on_bulb_warm
      state "warm" as on_bulb_warm
      state "hot" as on_bulb_hot
      on_bulb_warm --> on_bulb_hot: wait
    }
    --
    state "fan" as on_fan {
      [*] --> on_fan_slow
      state "slow" as on_fan_slow
      on_fan_slow --> on_fan_slow: press / note
    }
  }
  state "broken" as broken
  broken --> [*]
  off --> on: press [dark] / note
  on --> off: after patience
  classDef live fill:#2a7,color:#fff,font-weight:bold
  class on_bulb_hot,on_fan_slow live
`)
  })

  test("as DOT, with frames around states that hold others", () => {
    const picture = draw(lamp, live, "dot")
    expect(picture).toContain('subgraph "cluster_on" {\n    label="on" penwidth=3')
    expect(picture)
      .toContain('off -> on_bulb_warm [label="press [dark] / note" lhead="cluster_on"]')
    expect(picture).toContain('on_bulb_hot [label="hot" style=filled')
  })

  test("without a snapshot nothing is live", () => {
    expect(draw(lamp, null, "text")).not.toContain("*")
    expect(draw(lamp, null, "mermaid")).not.toContain("classDef")
  })

  test("as data, with everything the pictures show", () => {
    const { states } = describe(lamp, "off")
    expect(states[0]).toMatchObject({
      path: "off",
      live: true,
      initial: true,
      arrows: [{ event: "press", guard: "dark", actions: ["note"], targets: ["on"] }],
    })
    expect(JSON.parse(JSON.stringify(states))).toEqual(states)
  })
})

test.each(Object.entries(CATALOG))("every state of %s is drawn", (_, { machine }) => {
  const { states } = describe(machine, null)
  for (const format of FORMATS) {
    const picture = draw(machine, null, format)
    for (const { key } of states) expect(picture).toContain(key)
  }
})
