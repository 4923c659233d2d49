import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { apiRoutes } from "../../src/api/routes.ts"
import { defaultsOf } from "../../src/engine/defaults.ts"
import { DEFAULT_CONFIG_FILE, readSettings, type Settings } from "../../src/settings.ts"
import { api, create, remove, titled, useEngine, why } from "./world.ts"

/** docs/api.md says of every route what it answers: here that is held to what the daemon does. */
interface Row {
  readonly method: string
  readonly path: string
  readonly answer: string
}

const DOCUMENT = join(import.meta.dirname, "../../docs/api.md")

const rows = readFileSync(DOCUMENT, "utf8").split("\n").flatMap((line): Row[] => {
  const [, method, path, answer] =
    /^\| ([A-Z]+) \| `(\/[^`]+)` \| (works|501|404) \|/.exec(line) ?? []
  return method === undefined ? [] : [{ method, path: path!, answer: answer! }]
})

/** Names of parameters differ between Docker's description and our routes, and mean nothing. */
const shapeOf = ({ method, path }: { readonly method: string; readonly path: string }): string =>
  `${method} ${path.replace(/\{\w+\}/g, "{}")}`

const settingsOfNobody = (): Settings => {
  const read = readSettings([], (path) => path === DEFAULT_CONFIG_FILE ? null : "")
  if (read._tag === "Failure" || read.success.action !== "run") throw new Error("no settings")
  return read.success.settings
}

describe("the table of routes", () => {
  const settings = settingsOfNobody()
  const registered = apiRoutes(() => settings, defaultsOf(settings)).map(shapeOf)

  test("has every route that the daemon registers, and no other", () => {
    const told = rows.filter(({ answer }) => answer !== "404").map(shapeOf)
    expect(told.toSorted((a, b) => a.localeCompare(b)))
      .toEqual(registered.toSorted((a, b) => a.localeCompare(b)))
  })

  test("has each route once", () => {
    expect(new Set(rows.map(shapeOf)).size).toBe(rows.length)
  })
})

/** Ends what would go on for ever; names what is asked about. */
const QUERIES: Readonly<Record<string, string>> = {
  "/events": "?until=1",
  "/commit": "?container=there",
}

/** Who is to join or leave. */
const BODIES: Readonly<Record<string, object>> = {
  "/networks/{id}/connect": { Container: "there" },
  "/networks/{id}/disconnect": { Container: "there" },
}

/** What is there to be asked about: a network that every engine has, and a container. */
const thereFor = (path: string): string => path.startsWith("/networks/") ? "bridge" : "there"

describe.skipIf(why !== null)(titled("every route, asked of a daemon"), () => {
  useEngine()

  test.each(rows)("$method $path: $answer", async ({ method, path, answer }) => {
    // What works is asked about something that is not there, so that nothing is changed.
    if (answer === "501") {
      await remove("there")
      await create("there") // a prune before may have taken it
    }
    const name = answer === "501" ? thereFor(path) : "nowhere"
    const asked = `${path.replace(/\{\w+\}/g, name)}${QUERIES[path] ?? ""}`
    const { status, text } = await api(method, asked, BODIES[path])
    const isUnknown = status === 404 && text.includes("page not found")
    if (answer === "404") expect([status, isUnknown]).toEqual([404, true])
    else if (answer === "501") expect([status, text]).toEqual([501, expect.any(String)])
    else expect([status === 501, isUnknown, text]).toEqual([false, false, expect.any(String)])
  })
})
