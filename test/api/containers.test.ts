import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { Raw } from "./tools.ts"
import {
  api,
  attach,
  bodyOf,
  create,
  engine,
  IMAGE,
  inspect,
  remove,
  sh,
  start,
  stateOf,
  titled,
  unframed,
  useEngine,
  wait,
  why,
} from "./world.ts"

describe.skipIf(why !== null)(titled("containers by the socket"), () => {
  useEngine()

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
      expect(await stateOf("paused")).toMatchObject(
        { Status: "paused", Running: true, Paused: true },
      )
      expect(await ask("/start")).toEqual(
        [409, "cannot start a paused container, try unpause instead"],
      )
      expect(await ask("/attach")).toEqual(
        [409, "container paused is paused, unpause the container before attach"],
      )
      expect(await ask("", "DELETE")).toEqual([409, `You cannot remove a paused container ${id}. ` +
        "Unpause and then stop the container before attempting removal or force remove"])
      expect(await ask("/unpause")).toEqual([204, ""])
      expect(
        await ask("", "DELETE"),
      ).toEqual([409, `You cannot remove a running container ${id}. ` +
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
        [
          "POST",
          "still/rename?name=still",
          400,
          "Renaming a container with the same name as its current name",
        ],
        ["POST", "still/rename?name=a/b", 400, "Error when allocating new name: " +
          "Invalid container name (/a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
        [
          "POST",
          "still/exec",
          501,
          "running a command in a container (exec) is not supported by this engine yet",
        ],
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
      expect(
        (await api("POST", `/containers/${id.slice(0, 20)}/rename?name=renamed`)).status,
      ).toBe(204)
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
        expect([answer.status, answer.json.message]).toEqual(
          [status, expect.stringMatching(message)],
        )
        expect(await stateOf("broken")).toMatchObject({ Status: "created", ExitCode: exitCode })
        await remove("broken")
      }
      const answer = await api("POST", "/containers/create", { Image: "nobody/has:it" })
      expect([answer.status, answer.json.message]).toEqual([404, "No such image: nobody/has:it"])
      const source = { Type: "bind", Source: "/not/there", Target: "/x" }
      const bind = await api(
        "POST",
        "/containers/create",
        { Image: IMAGE, HostConfig: { Mounts: [source] } },
      )
      expect(bind.json.message).toBe(
        'invalid mount config for type "bind": bind source path does not exist: /not/there',
      )
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
      await create(
        "waited",
        sh("read x; exit 7", { OpenStdin: true, StdinOnce: true }),
        { AutoRemove: true },
      )
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
      raw.socket.write(
        "POST /containers/ordered/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n",
      )
      await raw.sees("\r\n\r\n")
      expect(raw.received.toString()).toMatch(/^HTTP\/1\.1 200 /)
      await start("ordered")
      await raw.sees('"StatusCode":0')
      expect(unframed(bodyOf(output.received))[0].endsWith("1999\n")).toBe(true)
      raw.socket.destroy()
      await remove("ordered")
    })
  })

  test("limits and restart policy are changed while it runs", async () => {
    const id = await create("limited", {}, { Memory: 20_000_000 })
    await start("limited")
    const update = (body: object) => api("POST", "/containers/limited/update", body)
    expect((await update({ Memory: 1 })).json.message).toBe("Minimum memory limit allowed is 6MB")
    expect(
      (await update({ RestartPolicy: { Name: "x" } })).json.message,
    ).toBe("invalid restart policy 'x'")
    const clash = await update({ Memory: 50_000_000 })
    expect([clash.status, clash.json.message]).toEqual([409, `Cannot update container ${id}: ` +
      "Memory limit should be smaller than already set memoryswap limit, " +
      "update the memoryswap at the same time"])
    expect(
      (await update({ Memory: 30_000_000, RestartPolicy: { Name: "always" } })).json,
    ).toEqual({ Warnings: null })
    const { HostConfig } = await inspect("limited")
    expect(
      [HostConfig.Memory, HostConfig.MemorySwap, HostConfig.RestartPolicy.Name],
    ).toEqual([30_000_000, 40_000_000, "always"])
    await remove("limited")
  })

  test("shared memory is the other's or the host's where asked, else its own", async () => {
    const word = join("/dev/shm", `be-${process.pid}`)
    const runs = async (script: string, host: object) => {
      await create("taker", sh(script), host)
      await start("taker")
      const code = await wait("taker")
      await remove("taker")
      return code
    }
    await create("donor", sh("echo word > /dev/shm/word; sleep 1000"), {
      IpcMode: "shareable", ShmSize: 2 << 20,
    })
    await start("donor")
    const shared = { IpcMode: "container:donor" }
    const answers = "until grep word /dev/shm/word; do sleep 0.1; done 2>&-; echo > /dev/shm/answer"
    expect(await runs(answers, shared)).toBe(0)
    expect(await runs("test -f /dev/shm/answer && df -k /dev/shm | grep ' 2048 '", shared)).toBe(0)
    expect(await runs("ls /dev/shm | grep .", {})).toBe(1)
    writeFileSync(word, "")
    expect(await runs(`rm ${word}`, { IpcMode: "host" })).toBe(0)
    expect(existsSync(word)).toBe(false)
    await remove("donor")
    const isMounted = () =>
      readFileSync("/proc/self/mountinfo", "utf8").includes(engine.place.execRoot)
    while (isMounted()) await sleep(5) // what is forced is answered before it is cleared away
  })

  test("the docker CLI: run, its exit codes, its streams", async () => {
    const run = (...args: string[]) => engine.docker(["run", "--rm", "--network", "none", ...args])
    expect(
      await run(IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3"),
    ).toMatchObject({ code: 3, stdout: "out\n", stderr: "err\n" })
    expect((await run(IMAGE, "nonsense")).code).toBe(127)
    expect((await run(IMAGE, "/etc")).code).toBe(126)
    expect((await run("--memory", "1", IMAGE, "true")).code).toBe(125)
    const piped = await engine.docker(
      ["run", "-i", "--rm", "--network", "none", IMAGE, "wc", "-c"],
      "12345",
    )
    expect(piped.stdout.trim()).toBe("5")
    const options = "-e A=b -w /tmp -u 5:6 -h host --entrypoint sh".split(" ")
    const env = await run(...options, IMAGE, "-c", "pwd; id -u; hostname; echo $A")
    expect(env.stdout).toBe("/tmp\n5\nhost\nb\n")
    expect(await engine.done(["ps", "-aq"])).toBe("")
  })
})
