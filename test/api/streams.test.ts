import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Raw } from "./tools.ts"
import {
  api,
  attach,
  bodyOf,
  create,
  engine,
  remove,
  sh,
  start,
  stateOf,
  titled,
  unframed,
  UPGRADE,
  useEngine,
  wait,
  why,
} from "./world.ts"

describe.skipIf(why !== null)(titled("what a container says, by the socket"), () => {
  useEngine()

  describe("attaching", () => {
    test.each(
      [["by upgrade", undefined], ["in the old way", ""]],
    )("stdin, stdout and stderr, %s", async (_, headers) => {
      await create("cat", sh("cat; echo done >&2", { OpenStdin: true, StdinOnce: true }))
      const raw = await attach("cat", "stream=1&stdin=1&stdout=1&stderr=1", headers)
      await start("cat")
      raw.socket.write("hello\n")
      raw.socket.end("bye\n") // the half-close is the end of the container's stdin
      await raw.end()
      expect(unframed(bodyOf(raw.received))).toEqual(["hello\nbye\n", "done\n"])
      await remove("cat")
    })
    test.each(
      [["by upgrade", UPGRADE], ["in the old way", ""]],
    )("what is sent with the request itself reaches the container, %s", async (_, headers) => {
      await create("early", sh("cat", { OpenStdin: true, StdinOnce: true }))
      const raw = new Raw(engine.place.socket)
      raw.socket.write("POST /containers/early/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n" +
        `Host: x\r\n${headers}\r\nearly\n`)
      await raw.sees("\r\n\r\n")
      await start("early")
      raw.socket.end("late\n")
      await raw.end()
      expect(unframed(bodyOf(raw.received))[0]).toBe("early\nlate\n")
      await remove("early")
    })
    test("stdin that ends before the container begins, with not a byte in it", async () => {
      await create("empty", sh("cat; echo done", { OpenStdin: true, StdinOnce: true }))
      const raw = await attach("empty", "stream=1&stdin=1&stdout=1")
      raw.socket.end()
      expect(await stateOf("empty")).toMatchObject({ Status: "created" }) // the end has come by now
      await start("empty")
      await raw.end()
      expect(unframed(bodyOf(raw.received))[0]).toBe("done\n")
      await remove("empty")
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
      expect([answer.status, answer.json.message]).toEqual(
        [501, "configured logging driver does not support reading"],
      )
      await remove("mute")
    })
  })
})
