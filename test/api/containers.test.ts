import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { BUSYBOX_ARCHIVE, type Corner, type Engine, openCorner, whyNoEngine } from "../e2e/engine.ts"
import { call, Raw } from "./tools.ts"

const MAIN = join(import.meta.dirname, "../../src/main.ts")
const IMAGE = "busybox:1.29"

const why = whyNoEngine()
let corner: Corner
let engine: Engine
const api = (method: string, path: string, body?: unknown) => call(engine.place.socket, method, path, body)

/** Creates a container without a network; answers its ID. */
async function create(name: string, body: object = {}, host: object = {}): Promise<string> {
  const answer = await api("POST", `/containers/create?name=${name}`, {
    Image: IMAGE,
    Cmd: ["sleep", "1000"],
    ...body,
    HostConfig: { NetworkMode: "none", ...host },
  })
  expect([answer.status, answer.text]).toEqual([201, expect.any(String)])
  return answer.json.Id
}
const sh = (script: string, more: object = {}) => ({ Cmd: ["sh", "-c", script], ...more })
const start = async (name: string) => expect((await api("POST", `/containers/${name}/start`)).status).toBe(204)
const inspect = async (name: string) => (await api("GET", `/containers/${name}/json`)).json
const stateOf = async (name: string) => (await inspect(name)).State
const remove = (name: string) => api("DELETE", `/containers/${name}?force=1`)
const wait = async (name: string, condition = "not-running"): Promise<number> =>
  (await api("POST", `/containers/${name}/wait?condition=${condition}`)).json.StatusCode

/** The payload of frames, by stream. */
function unframed(bytes: Buffer): [string, string] {
  const streams: [Buffer[], Buffer[]] = [[], []]
  for (let at = 0; at + 8 <= bytes.length;) {
    const length = bytes.readUInt32BE(at + 4)
    streams[bytes[at]! - 1]!.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return [Buffer.concat(streams[0]).toString(), Buffer.concat(streams[1]).toString()]
}
const bodyOf = (received: Buffer): Buffer => received.subarray(received.indexOf("\r\n\r\n") + 4)

async function attach(name: string, query: string, headers = "Connection: Upgrade\r\nUpgrade: tcp\r\n") {
  const raw = new Raw(engine.place.socket)
  raw.socket.write(`POST /containers/${name}/attach?${query} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`)
  await raw.sees("\r\n\r\n")
  return raw
}

describe.skipIf(why !== null)(`containers by the socket${why === null ? "" : ` (${why})`}`, () => {
  beforeAll(async () => {
    corner = await openCorner()
    engine = await corner.start({ name: "api", program: [process.execPath, MAIN, "balenad"] })
    await engine.done(["load", "-i", BUSYBOX_ARCHIVE])
  })
  afterAll(async () => {
    await corner?.[Symbol.asyncDispose]()
  })

  describe("a life, with Docker's statuses", () => {
    test("create, start, stop, start again, kill, remove", async () => {
      const id = await create("life")
      expect(await stateOf("life")).toMatchObject({ Status: "created", Running: false, Pid: 0 })
      await start("life")
      expect((await api("POST", "/containers/life/start")).status).toBe(304)
      const { Pid, Running } = await stateOf(id.slice(0, 12))
      expect([Running, Pid > 1]).toEqual([true, true])
      expect((await api("POST", "/containers/life/stop?t=0")).status).toBe(204)
      expect((await api("POST", "/containers/life/stop")).status).toBe(304)
      expect(await stateOf("life")).toMatchObject({ Status: "exited", ExitCode: 137, Pid: 0 })
      await start("life")
      expect((await api("POST", "/containers/life/restart?t=0")).status).toBe(204)
      expect((await api("POST", "/containers/life/kill")).status).toBe(204)
      expect(await stateOf("life")).toMatchObject({ Status: "exited", ExitCode: 137 })
      expect((await api("DELETE", "/containers/life")).status).toBe(204)
      const gone = await api("GET", `/containers/${id}/json`)
      expect([gone.status, gone.json]).toEqual([404, { message: `No such container: ${id}` }])
    })

    test("pause and unpause; what a paused one refuses", async () => {
      const id = await create("paused")
      await start("paused")
      const ask = async (path: string, method = "POST") => {
        const { status, text } = await api(method, `/containers/paused${path}`)
        return [status, text === "" ? "" : JSON.parse(text).message]
      }
      expect(await ask("/unpause")).toEqual([500, `Container ${id} is not paused`])
      expect(await ask("/pause")).toEqual([204, ""])
      expect(await ask("/pause")).toEqual([409, `Container ${id} is already paused`])
      expect(await stateOf("paused")).toMatchObject({ Status: "paused", Running: true, Paused: true })
      expect(await ask("/start")).toEqual([409, "cannot start a paused container, try unpause instead"])
      expect(await ask("/attach")).toEqual([409, "container paused is paused, unpause the container before attach"])
      expect(await ask("", "DELETE")).toEqual([409, `You cannot remove a paused container ${id}. ` +
        "Unpause and then stop the container before attempting removal or force remove"])
      expect(await ask("/unpause")).toEqual([204, ""])
      expect(await ask("", "DELETE")).toEqual([409, `You cannot remove a running container ${id}. ` +
        "Stop the container before attempting removal or force remove"])
      expect((await remove("paused")).status).toBe(204)
    })

    test("what is not there, or not running, is refused as Docker refuses it", async () => {
      const id = await create("still")
      const missing = "No such container: nobody"
      const refusals: [string, string, number, string][] = [
        ["POST", "nobody/start", 404, missing],
        ["POST", "nobody/stop", 404, missing],
        ["POST", "nobody/kill", 404, `Cannot kill container: nobody: ${missing}`],
        ["POST", "nobody/wait", 404, missing],
        ["POST", "nobody/attach?stream=1", 404, missing],
        ["POST", "nobody/rename?name=xx", 404, missing],
        ["GET", "nobody/logs?stdout=1", 404, missing],
        ["DELETE", "nobody", 404, missing],
        ["POST", "still/kill", 409, `Cannot kill container: still: Container ${id} is not running`],
        ["POST", "still/kill?signal=BOGUS", 400, "Invalid signal: BOGUS"],
        ["POST", "still/pause", 409, `Container ${id} is not running`],
        ["POST", "still/resize?h=1&w=1", 409, `Container ${id} is not running`],
        ["POST", "still/resize?h=x&w=1", 400, 'strconv.Atoi: parsing "x": invalid syntax'],
        ["GET", "still/top", 409, `Container ${id} is not running`],
        ["GET", "still/logs", 400, "Bad parameters: you must choose at least one stream"],
        ["POST", "still/stop?t=x", 400, 'strconv.Atoi: parsing "x": invalid syntax'],
        ["POST", "still/wait?condition=bogus", 400, 'invalid condition: "bogus"'],
        ["POST", "still/rename", 400, "Neither old nor new names may be empty"],
        ["POST", "still/rename?name=still", 400, "Renaming a container with the same name as its current name"],
        ["POST", "still/rename?name=a/b", 400, "Error when allocating new name: " +
          "Invalid container name (/a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
        ["POST", "still/exec", 501, "running a command in a container (exec) is not supported by this engine yet"],
      ]
      for (const [method, path, status, message] of refusals) {
        const answer = await api(method, `/containers/${path}`)
        expect([path, answer.status, answer.json]).toEqual([path, status, { message }])
      }
      await remove("still")
    })

    test("names: taken ones, invented ones, changed ones, and prefixes of IDs", async () => {
      const id = await create("named")
      const taken = await api("POST", "/containers/create?name=named", { Image: IMAGE })
      expect([taken.status, taken.json.message]).toEqual([409,
        `Conflict. The container name "/named" is already in use by container "${id}". ` +
        "You have to remove (or rename) that container to be able to reuse that name."])
      const other = (await api("POST", "/containers/create", { Image: IMAGE })).json.Id
      expect((await inspect(other)).Name).toMatch(/^\/[a-z]+_[a-z]+\d*$/)
      expect((await api("POST", `/containers/${id.slice(0, 20)}/rename?name=renamed`)).status).toBe(204)
      expect((await inspect("renamed")).Id).toBe(id)
      expect((await api("POST", `/containers/${other}/rename?name=renamed`)).status).toBe(409)
      await remove("renamed")
      await remove(other)
    })

    test("a command that is not there, one that cannot be run, an image nobody has", async () => {
      const tries: [object, number, RegExp, number][] = [
        [{ Cmd: ["nonsense"] }, 400, /executable file not found in \$PATH/, 127],
        [{ Cmd: ["/etc"] }, 400, /permission denied/, 126],
      ]
      for (const [body, status, message, exitCode] of tries) {
        await create("broken", body)
        const answer = await api("POST", "/containers/broken/start")
        expect([answer.status, answer.json.message]).toEqual([status, expect.stringMatching(message)])
        expect(await stateOf("broken")).toMatchObject({ Status: "created", ExitCode: exitCode })
        await remove("broken")
      }
      const answer = await api("POST", "/containers/create", { Image: "nobody/has:it" })
      expect([answer.status, answer.json.message]).toEqual([404, "No such image: nobody/has:it"])
      const source = { Type: "bind", Source: "/not/there", Target: "/x" }
      const bind = await api("POST", "/containers/create", { Image: IMAGE, HostConfig: { Mounts: [source] } })
      expect(bind.json.message).toBe('invalid mount config for type "bind": bind source path does not exist: /not/there')
    })

    test("bad JSON changes nothing", async () => {
      const before = (await api("GET", "/containers/json?all=1")).text
      for (const body of ["", "{", "[]", "null", '{"Image":5}', '{"Image":"x"} {}']) {
        expect((await api("POST", "/containers/create", body)).status).toBe(400)
      }
      expect((await api("GET", "/containers/json?all=1")).text).toBe(before)
    })
  })

  describe("waiting", () => {
    test("the end of what runs now, of the next one, and removal", async () => {
      await create("waited", sh("read x; exit 7", { OpenStdin: true, StdinOnce: true }), { AutoRemove: true })
      expect(await wait("waited")).toBe(0) // it does not run
      const stdin = await attach("waited", "stream=1&stdin=1")
      const waits = ["next-exit", "removed"].map((condition) => wait("waited", condition))
      await start("waited")
      waits.push(wait("waited"))
      stdin.socket.write("go\n")
      expect(await Promise.all(waits)).toEqual([7, 7, 7])
      expect((await api("GET", "/containers/waited/json")).status).toBe(404)
    })
    test("headers are sent at once, the output before the exit code", async () => {
      await create("ordered", sh("i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done"))
      const output = await attach("ordered", "stream=1&stdout=1")
      const raw = new Raw(engine.place.socket)
      raw.socket.write("POST /containers/ordered/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n")
      await raw.sees("\r\n\r\n")
      expect(raw.received.toString()).toMatch(/^HTTP\/1\.1 200 /)
      await start("ordered")
      await raw.sees('"StatusCode":0')
      expect(unframed(bodyOf(output.received))[0].endsWith("1999\n")).toBe(true)
      raw.socket.destroy()
      await remove("ordered")
    })
  })

  describe("attaching", () => {
    test.each([["by upgrade", undefined], ["in the old way", ""]])("stdin, stdout and stderr, %s", async (_, headers) => {
      await create("cat", sh("cat; echo done >&2", { OpenStdin: true, StdinOnce: true }))
      const raw = await attach("cat", "stream=1&stdin=1&stdout=1&stderr=1", headers)
      await start("cat")
      raw.socket.write("hello\n")
      raw.socket.end("bye\n") // the half-close is the end of the container's stdin
      await raw.end()
      expect(unframed(bodyOf(raw.received))).toEqual(["hello\nbye\n", "done\n"])
      await remove("cat")
    })
    test("a megabyte each way, to a client that does not read at once", async () => {
      await create("big", sh("cat", { OpenStdin: true, StdinOnce: true }))
      const raw = await attach("big", "stream=1&stdin=1&stdout=1")
      await start("big")
      raw.socket.pause()
      const sent = Buffer.alloc(1 << 20, "0123456789abcdef")
      raw.socket.end(sent)
      await new Promise((resolve) => setTimeout(resolve, 700))
      raw.socket.resume()
      await raw.end()
      expect(unframed(bodyOf(raw.received))[0] === sent.toString()).toBe(true)
      await remove("big")
    })
    test("several clients see the same; one that leaves takes nobody with it", async () => {
      await create("shared", sh("read x; echo got $x", { OpenStdin: true }))
      const first = await attach("shared", "stream=1&stdout=1")
      const second = await attach("shared", "stream=1&stdin=1&stdout=1")
      const leaver = await attach("shared", "stream=1&stdout=1")
      await start("shared")
      leaver.socket.destroy()
      second.socket.write("it\n")
      await Promise.all([first.end(), second.end()])
      for (const raw of [first, second]) expect(unframed(bodyOf(raw.received))[0]).toBe("got it\n")
      await remove("shared")
    })
    test("a terminal: raw, and left by its detach keys", async () => {
      await create("tty", { Cmd: ["sh"], Tty: true, OpenStdin: true, StdinOnce: true })
      const raw = await attach("tty", "stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,q")
      expect(raw.received.toString()).toContain("application/vnd.docker.raw-stream")
      await start("tty")
      expect((await api("POST", "/containers/tty/resize?h=33&w=77")).status).toBe(200)
      raw.socket.write("stty size\n")
      await raw.sees("33 77")
      raw.socket.write("\u0001q")
      await raw.end()
      expect((await stateOf("tty")).Running).toBe(true)
      const again = await attach("tty", "stream=1&stdin=1&stdout=1&logs=1")
      await again.sees("33 77")
      again.socket.write("exit 5\n")
      await again.end()
      expect(await wait("tty")).toBe(5)
      await remove("tty")
    })
  })

  describe("logs", () => {
    const read = async (query: string): Promise<[string, string]> => {
      const raw = new Raw(engine.place.socket)
      raw.socket.write(`GET /containers/log/logs?${query} HTTP/1.0\r\nHost: x\r\n\r\n`)
      await raw.end()
      const [stdout, stderr] = unframed(bodyOf(raw.received))
      return [stdout.replace("x".repeat(20_000), "<x>"), stderr]
    }
    beforeAll(async () => {
      await create("log", sh(
        // Apart in time: two streams, and what was read at once, have no order.
        'echo one; sleep 0.05; echo two >&2; sleep 0.05; printf thr; sleep 0.05; echo ee; ' +
          'head -c 20000 /dev/zero | tr "\\0" x; echo; printf end',
      ))
      await start("log")
      await wait("log")
    })
    afterAll(() => remove("log"))

    test("both streams, and one alone", async () => {
      expect(await read("stdout=1&stderr=1")).toEqual([`one\nthree\n<x>\nend`, "two\n"])
      expect(await read("stderr=1")).toEqual(["", "two\n"])
    })
    test("the last messages, a long line being two", async () => {
      expect(await read("stdout=1&stderr=1&tail=1")).toEqual(["end", ""])
      expect(await read("stdout=1&stderr=1&tail=2")).toEqual(["<x>\nend", ""])
      expect(await read("stdout=1&stderr=1&tail=0")).toEqual(["", ""])
      expect((await read("stdout=1&stderr=1&tail=4"))[1]).toBe("two\n")
      expect((await read("stdout=1&tail=all"))[0]).toBe("one\nthree\n<x>\nend")
    })
    test("timestamps, and what they are for", async () => {
      const [stdout, stderr] = await read("stdout=1&stderr=1&timestamps=1")
      expect(stderr).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z two\n$/)
      const seconds = (line: string) => {
        const [time = ""] = line.split(" ")
        return `${Date.parse(`${time.slice(0, 19)}Z`) / 1000}.${time.slice(20, 29)}`
      }
      const [first = "", second = ""] = stdout.split("\n")
      expect((await read(`stdout=1&until=${seconds(first)}`))[0]).toBe("one\n")
      expect((await read(`stdout=1&since=${seconds(second)}`))[0]).toBe(`three\n<x>\nend`)
    })
    test("followed to the end of the container, and no further", async () => {
      await create("chatty", sh("read x; echo $x; sleep 0.2; printf fin", { OpenStdin: true }))
      const stdin = await attach("chatty", "stream=1&stdin=1")
      await start("chatty")
      const raw = new Raw(engine.place.socket)
      raw.socket.write("GET /containers/chatty/logs?stdout=1&follow=1 HTTP/1.0\r\nHost: x\r\n\r\n")
      await raw.sees("\r\n\r\n")
      stdin.socket.write("first\n")
      await raw.sees("first")
      await raw.end()
      expect(unframed(bodyOf(raw.received))[0]).toBe("first\nfin")
      await remove("chatty")
    })
    test("a container without a log says so", async () => {
      await create("mute", {}, { LogConfig: { Type: "none" } })
      const answer = await api("GET", "/containers/mute/logs?stdout=1")
      expect([answer.status, answer.json.message]).toEqual([501, "configured logging driver does not support reading"])
      await remove("mute")
    })
  })

  describe("looking", () => {
    beforeAll(async () => {
      await create("seen-a", { Labels: { kind: "a", x: "" } })
      await create("seen-b", { Labels: { kind: "b" }, ExposedPorts: { "80/tcp": {} } }, { Binds: ["/tmp:/mnt:ro"] })
      await start("seen-a")
    })
    afterAll(async () => {
      await remove("seen-a")
      await remove("seen-b")
    })
    const names = async (query: string, filters?: object) => {
      const encoded = filters === undefined ? "" : `&filters=${encodeURIComponent(JSON.stringify(filters))}`
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
      [{ name: ["("] }, "invalid filter 'name=('"],
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
      expect((await api("GET", "/networks")).json.map(({ Name }: { Name: string }) => Name)).toEqual(["bridge", "host", "none"])
      expect(Object.keys((await api("GET", "/networks/none")).json.Containers)).toHaveLength(1)
      expect((await api("GET", "/networks/other")).json.message).toBe("network other not found")
      expect((await api("POST", "/networks/create", { Name: "x" })).status).toBe(501)
      expect((await api("GET", "/volumes")).json).toEqual({ Volumes: [], Warnings: null })
      for (const path of ["/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs", "/plugins"]) {
        expect((await api("GET", path)).json).toEqual({ message: "page not found" })
      }
    })
    test("pruning takes what does not run, by its labels", async () => {
      await create("old", { Labels: { prune: "me" } })
      const filters = encodeURIComponent(JSON.stringify({ label: ["prune=me"] }))
      const pruned = (await api("POST", `/containers/prune?filters=${filters}`)).json
      expect(pruned.ContainersDeleted).toHaveLength(1)
      expect(await names("all=1")).toEqual(["seen-b", "seen-a"])
    })
  })

  test("limits and restart policy are changed while it runs", async () => {
    const id = await create("limited", {}, { Memory: 20_000_000 })
    await start("limited")
    const update = (body: object) => api("POST", "/containers/limited/update", body)
    expect((await update({ Memory: 1 })).json.message).toBe("Minimum memory limit allowed is 6MB")
    expect((await update({ RestartPolicy: { Name: "x" } })).json.message).toBe("invalid restart policy 'x'")
    const clash = await update({ Memory: 50_000_000 })
    expect([clash.status, clash.json.message]).toEqual([409, `Cannot update container ${id}: ` +
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"])
    expect((await update({ Memory: 30_000_000, RestartPolicy: { Name: "always" } })).json).toEqual({ Warnings: null })
    const { HostConfig } = await inspect("limited")
    expect([HostConfig.Memory, HostConfig.MemorySwap, HostConfig.RestartPolicy.Name]).toEqual([30_000_000, 40_000_000, "always"])
    await remove("limited")
  })

  test("the docker CLI: run, its exit codes, its streams", async () => {
    const run = (...args: string[]) => engine.docker(["run", "--rm", "--network", "none", ...args])
    expect(await run(IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3")).toMatchObject({ code: 3, stdout: "out\n", stderr: "err\n" })
    expect((await run(IMAGE, "nonsense")).code).toBe(127)
    expect((await run(IMAGE, "/etc")).code).toBe(126)
    expect((await run("--memory", "1", IMAGE, "true")).code).toBe(125)
    const piped = await engine.docker(["run", "-i", "--rm", "--network", "none", IMAGE, "wc", "-c"], "12345")
    expect(piped.stdout.trim()).toBe("5")
    const env = await run("-e", "A=b", "-w", "/tmp", "-u", "5:6", "-h", "host", "--entrypoint", "sh", IMAGE, "-c", "pwd; id -u; hostname; echo $A")
    expect(env.stdout).toBe("/tmp\n5\nhost\nb\n")
    expect(await engine.done(["ps", "-aq"])).toBe("")
  })
})
