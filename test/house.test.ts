import { createMachine, setup, spawnChild } from "xstate"
import { describe, expect, test } from "vitest"
import { CATALOG } from "../machines/catalog.ts"
import { forbiddenImports, machineFaults } from "./house/machine.ts"
import { barrels, CARRIER, HTTP_CLIENT, reachable, roomOf, wrongDoors } from "./house/rooms.ts"
import { sourceOf, sourcesOf } from "./house/source.ts"
import { bannedWords, foreignKeys, tooLong } from "./house/words.ts"

/** The house: what is built and shipped. Tests and simulations may enter every room. */
const house = sourcesOf("src", "machines")
const everything = [...house, ...sourcesOf("test", "simulations", "scripts")]

describe("the house", () => {
  test("rooms open only the doors they have", () => {
    expect(house.flatMap(wrongDoors)).toEqual([])
    expect(house.flatMap(barrels)).toEqual([])
  })

  test("the daemon's side of the extraction child speaks to no registry", () => {
    expect(reachable(house, CARRIER)).not.toContain(HTTP_CLIENT)
  })

  test("what has a door is not reached around it", () => {
    expect(house.flatMap(bannedWords)).toEqual([])
  })

  test("foreign words stop at the door", () => {
    expect(house.flatMap(foreignKeys)).toEqual([])
  })

  test("no file, function or line is too long to read", () => {
    expect(everything.flatMap(tooLong)).toEqual([])
  })

  test("no file is dead", () => {
    const reached = reachable(house, "src/main.ts")
    const drawn = (path: string) => path === "machines/draw.ts"
    const dead = house.map(({ path }) => path)
      .filter((path) => !reached.has(path) && !drawn(path))
    expect(dead).toEqual([])
  })

  test.each(Object.entries(CATALOG))("the machine of %s asks and never does", (_, { machine }) => {
    expect(machineFaults(machine)).toEqual([])
  })

  test("machines take nothing from xstate that does", () => {
    const machines = house.filter(({ path }) => roomOf(path) === "machines")
    expect(machines.flatMap(forbiddenImports)).toEqual([])
  })
})

describe("the rules find what they are for", () => {
  const bad = (path: string, text: string) => sourceOf(path, text)

  test("a door that is not there", () => {
    const wrong = (path: string, text: string) => wrongDoors(bad(path, text))
    expect(wrong("src/kernel/bad.ts", 'import { Store } from "../store/store.ts"'))
      .toEqual(["src/kernel/bad.ts: no door from kernel to store (src/store/store.ts)"])
    expect(wrong("src/oci/bad.ts", 'import * as fs from "node:fs"')).toHaveLength(1)
    expect(wrong("src/cli/bad.ts", 'import type { A } from "../engine/loop.ts"')).toHaveLength(1)
    expect(wrong("src/api/bad.ts", 'const { A } = await import("undici")')).toHaveLength(1)
    expect(wrong("src/store/bad.ts", 'export { A } from "../../machines/image.ts"')).toHaveLength(1)
    expect(wrong("machines/bad.ts", 'import * as Effect from "effect/Effect"')).toHaveLength(1)
    expect(wrong("src/attic/bad.ts", "")).toHaveLength(1)
    expect(wrong("src/oci/good.ts", 'import { A } from "../../machines/words.ts"')).toEqual([])
    expect(wrong("src/cli/good.ts", 'import { A } from "../api/client.ts"')).toEqual([])
  })

  test("a word that has a door", () => {
    const words = ["Date.now()", "new Date()", "Math.random()", "setTimeout(f, 1)", 'fetch("x")',
      "randomUUID()", "crypto.randomBytes(8)", "db.run(`DELETE FROM image`)",
      'import * as http from "node:http"; http.request("x")']
    for (const word of words) expect(bannedWords(bad("src/engine/bad.ts", word))).toHaveLength(1)
    expect(bannedWords(bad("src/engine/good.ts", "new Date(0); image.select(from)"))).toEqual([])
  })

  test("a foreign word", () => {
    const text = 'const a = { HostConfig: 1, "Id": Effect.Effect }; interface A { Names: string }'
    expect(foreignKeys(bad("src/engine/bad.ts", text))).toHaveLength(3)
    expect(foreignKeys(bad("src/api/good.ts", text))).toEqual([])
  })

  test("what is too long", () => {
    const body = "\n".repeat(71)
    expect(tooLong(bad("src/a.ts", `const f = () => {${body}}`))).toHaveLength(1)
    expect(tooLong(bad("src/a.ts", `// ${"x".repeat(98)}`))).toHaveLength(1)
    expect(tooLong(bad("src/a.ts", "f()\n".repeat(401)))).toHaveLength(1)
  })

  test("a machine that does", () => {
    const invoking = createMachine({ id: "a", invoke: { src: "work" } })
    const wild = createMachine({ id: "b", on: { "*": {} }, after: { 100: {} } })
    const inline = createMachine({ id: "c", entry: () => {}, on: { go: { guard: () => true } } })
    const named = setup({ actions: { ask: () => {} } }).createMachine({ id: "d", entry: "ask" })
    expect(machineFaults(invoking)).toHaveLength(1)
    expect(machineFaults(wild)).toHaveLength(2)
    expect(machineFaults(inline)).toHaveLength(2)
    expect(machineFaults(named)).toEqual([])
    expect(spawnChild).toBeTypeOf("function")
    expect(forbiddenImports(bad("machines/bad.ts", 'import { spawnChild } from "xstate"')))
      .toHaveLength(1)
  })
})
