import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { AnyStateMachine } from "xstate"
import { expect, test } from "vitest"
import { CATALOG } from "../../machines/catalog.ts"
import { describe, draw, type DrawnState } from "../../machines/draw.ts"
import { NOUNS, type Noun } from "../../machines/words.ts"

/** The document whose diagrams are drawn here: `vitest run` on this file with `-u` writes them. */
const PATH = join(import.meta.dirname, "../../docs/machines.md")
const text = readFileSync(PATH, "utf8")

const BLOCK = /(?<=<!-- drawn: (\w+) -->\n```mermaid\n)(?:(?!```).*\n)*/g

test("every diagram of the document is what its machine is", async () => {
  const nouns: string[] = []
  const drawn = text.replace(BLOCK, (_, noun: Noun) => {
    nouns.push(noun)
    return draw(CATALOG[noun].machine, null, "mermaid")
  })
  expect(nouns).toEqual(NOUNS)
  await expect(drawn).toMatchFileSnapshot(PATH)
})

/** What a section says in words: diagrams left out. */
const sectionOf = (noun: Noun): string => {
  const sections = text.replace(BLOCK, "").split(/^## /m)
  return sections.find((section) => section.toLowerCase().startsWith(`${noun}\n`)) ?? ""
}

const namesOf = (machine: AnyStateMachine): ReadonlySet<string> => {
  const names = new Set<string>()
  const look = ({ entry, exit, arrows, states }: DrawnState): void => {
    for (const { event, actions } of arrows) {
      const [first = "", second = ""] = event.split(" ")
      if (first !== "always") names.add(second === "" ? first : second)
      for (const action of [...actions, ...entry, ...exit]) {
        if (action.includes(".")) names.add(action)
      }
    }
    states.forEach(look)
  }
  look(describe(machine, null))
  return names
}

test.each(NOUNS)("every event, command and delay of %s is in the document", (noun) => {
  const section = sectionOf(noun)
  const missing = [...namesOf(CATALOG[noun].machine)]
    .filter((name) => !section.includes(`\`${name}\``))
  expect(missing).toEqual([])
})

test.each(NOUNS)("the requests of %s are the ones the document calls so", (noun) => {
  const rows = sectionOf(noun).split("\n").filter((line) => /^\| .* \| request \|/.test(line))
  const told = rows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`(\w+)`/g)])
  expect(new Set(told.map(([, name]) => name))).toEqual(CATALOG[noun].requests)
})
