import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import {
  api,
  create,
  engine,
  IMAGE,
  remove,
  start,
  titled,
  useEngine,
  why,
} from "./world.ts"

const OLDER_ARCHIVE = join(import.meta.dirname, "../fixtures/busybox-1.24.tar.gz")

describe.skipIf(why !== null)(titled("containers looked at, by the socket"), () => {
  useEngine()

  describe("looking", () => {
    beforeAll(async () => {
      await create("seen-a", { Labels: { kind: "a", x: "" } })
      await create(
        "seen-b",
        { Labels: { kind: "b" }, ExposedPorts: { "80/tcp": {} } },
        { Binds: ["/tmp:/mnt:ro"] },
      )
      await start("seen-a")
    })
    afterAll(async () => {
      await remove("seen-a")
      await remove("seen-b")
    })
    const names = async (query: string, filters?: object) => {
      const encoded = filters === undefined
        ? ""
        : `&filters=${encodeURIComponent(JSON.stringify(filters))}`
      const answer = await api("GET", `/containers/json?${query}${encoded}`)
      return answer.status === 200
        ? answer.json.map(({ Names }: { Names: string[] }) => Names[0]!.slice(1))
        : answer.json.message
    }
    test("running ones, all of them, the newest", async () => {
      expect(await names("")).toEqual(["seen-a"])
      expect(await names("all=1")).toEqual(["seen-b", "seen-a"])
      expect(await names("limit=1")).toEqual(["seen-b"])
    })
    test.each([
      [{ label: ["kind=b"] }, ["seen-b"]],
      [{ label: { "kind": true, "x=": true } }, ["seen-a"]],
      [{ name: ["n-a$"] }, ["seen-a"]],
      [{ name: ["^/seen"] }, ["seen-b", "seen-a"]],
      [{ status: ["created"] }, ["seen-b"]],
      [{ status: ["running", "created"] }, ["seen-b", "seen-a"]],
      [{ ancestor: [IMAGE] }, ["seen-b", "seen-a"]],
      [{ ancestor: ["other"] }, []],
      [{ before: ["seen-b"] }, ["seen-a"]],
      [{ since: ["seen-a"] }, ["seen-b"]],
      [{ expose: ["80"] }, ["seen-b"]],
      [{ expose: ["79-81/udp"] }, []],
      [{ publish: ["80"] }, []],
      [{ network: ["none"] }, ["seen-b", "seen-a"]],
      [{ volume: ["/mnt"] }, ["seen-b"]],
      [{ health: ["none"] }, ["seen-b", "seen-a"]],
      [{ exited: ["0"] }, []],
      [{ "is-task": ["true"] }, []],
      [{ status: ["bogus"] }, "invalid filter 'status=bogus'"],
      [{ bogus: ["x"] }, "invalid filter 'bogus'"],
      [{ exited: ["x"] }, 'strconv.Atoi: parsing "x": invalid syntax'],
      [{ health: ["x"] }, "Unrecognised filter value for health: x"],
      [{ before: ["nobody"] }, "no such container nobody"],
      [{ name: ["("] }, []],
    ])("filtered by %j", async (filters, expected) => {
      expect(await names("all=1", filters)).toEqual(expected)
    })
    test("top and sizes", async () => {
      const { Titles, Processes } = (await api("GET", "/containers/seen-a/top")).json
      expect(Titles).toContain("PID")
      expect(Processes).toHaveLength(1)
      expect(Processes[0].at(-1)).toBe("sleep 1000")
      const bad = await api("GET", "/containers/seen-a/top?ps_args=-o%20bogus")
      expect([bad.status, bad.json.message]).toEqual([500, expect.stringMatching(/^ps: .*bogus/)])
      const sized = (await api("GET", "/containers/seen-a/json?size=1")).json
      expect([sized.SizeRw, sized.SizeRootFs > 1_000_000]).toEqual([0, true])
    })
    test("the networks every engine has, and nothing else", async () => {
      expect(
        (await api("GET", "/networks")).json.map(({ Name }: { Name: string }) => Name),
      ).toEqual(["bridge", "host", "none"])
      expect(Object.keys((await api("GET", "/networks/none")).json.Containers)).toHaveLength(1)
      expect((await api("GET", "/networks/other")).json.message).toBe("network other not found")
      expect((await api("POST", "/networks/create", { Name: "x" })).status).toBe(501)
      expect((await api("GET", "/volumes")).json).toEqual({ Volumes: [], Warnings: null })
      for (const what of ["swarm", "services", "tasks", "nodes", "secrets", "configs", "plugins"]) {
        expect((await api("GET", `/${what}`)).json).toEqual({ message: "page not found" })
      }
    })
    test("images by the time they were made; pruning spares the newer ones", async () => {
      await engine.done(["load", "-i", OLDER_ARCHIVE]) // no container uses it
      const query = (filters: object) => `filters=${encodeURIComponent(JSON.stringify(filters))}`
      const made = async (until: string) =>
        (await api("GET", `/images/json?${query({ until: [until] })}`)).json.length
      expect([await made("2010-01-01T00:00:00Z"), await made("1s")]).toEqual([0, 2])
      const prune = async (until: string) => {
        const filters = query({ dangling: ["false"], until: [until] })
        return (await api("POST", `/images/prune?${filters}`)).json.ImagesDeleted
      }
      expect(await prune("2010-01-01T00:00:00Z")).toBe(null)
      expect(await prune("1s")).toContainEqual({ Untagged: "busybox:1.24" })
    })
    test("pruning takes what does not run, by its labels", async () => {
      await create("old", { Labels: { prune: "me" } })
      const filters = encodeURIComponent(JSON.stringify({ label: ["prune=me"] }))
      const pruned = (await api("POST", `/containers/prune?filters=${filters}`)).json
      expect(pruned.ContainersDeleted).toHaveLength(1)
      expect(await names("all=1")).toEqual(["seen-b", "seen-a"])
    })
  })
})
