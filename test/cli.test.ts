import { spawnSync } from "node:child_process"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { outcome } from "../simulations/images/command.ts"
import { demultiplexer } from "../src/api/client.ts"
import { flag, lettered, parse, UsageError } from "../src/cli/argv.ts"
import { CREATE_FLAGS, createBody, duration, ports } from "../src/cli/create.ts"
import { splitReference } from "../src/cli/pull.ts"
import { bar, fill, size, span, table } from "../src/cli/text.ts"
import { reachable } from "./house/rooms.ts"
import { sourcesOf } from "./house/source.ts"

const MAIN = join(import.meta.dirname, "../src/main.ts")
const balena = (...words: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], {
    encoding: "utf8",
  })
  return { status, stdout, stderr }
}

describe("flags", () => {
  const FLAGS = {
    all: lettered("a", flag.on),
    time: lettered("t", flag.text),
    env: lettered("e", flag.list),
  } as const

  test.each([
    [["-at", "5", "x"], { all: true, time: "5", env: [] }, ["x"]],
    [["x", "--time=5", "-e", "A=1", "-eB=2"], { time: "5", env: ["A=1", "B=2"] }, ["x"]],
    [["--all=false", "--", "-a"], { all: false }, ["-a"]],
    [["-t=5", "-"], { time: "5" }, ["-"]],
  ])("%s", (words, given, rest) => {
    const read = parse(words, FLAGS)
    expect(read.given).toMatchObject(given)
    expect(read.rest).toEqual(rest)
  })

  test("another program's words are left alone", () => {
    expect(parse(["-a", "sh", "-c", "-t"], FLAGS, { stopAtFirst: true }))
      .toMatchObject({ given: { all: true }, rest: ["sh", "-c", "-t"] })
  })

  test.each([[["--no"]], [["-x"]], [["-t"]]])("%s is refused", (words) => {
    expect(() => parse(words, FLAGS)).toThrow(UsageError)
  })

  test("whatever the words, they are read or refused", () => {
    fc.assert(fc.property(fc.array(fc.string()), (words) => {
      try {
        return parse(words, FLAGS).rest.every((word) => words.includes(word))
      } catch (error) {
        return error instanceof UsageError
      }
    }))
  })
})

describe("a create body", () => {
  const body = (...words: string[]) => {
    const { given, rest: [image = "", ...command] } = parse(words, CREATE_FLAGS, {
      stopAtFirst: true,
    })
    return createBody(given, image, command, { attach: true })
  }

  test("is what the docker CLI would send", () => {
    const words = `-it --rm --name web -e A=1 -v /src:/dst:ro -v /cache -p 127.0.0.1:8080:80
      -m 64m --cpus 0.5 --restart on-failure:3 --network host --ulimit nofile=1024:2048
      --device /dev/null --tmpfs /run:size=1m --cap-add NET_ADMIN -l a=b busybox sh -c true`
    expect(body(...words.split(/\s+/))).toMatchObject({
      Image: "busybox",
      Cmd: ["sh", "-c", "true"],
      Env: ["A=1"],
      Tty: true,
      OpenStdin: true,
      Labels: { a: "b" },
      Volumes: { "/cache": {} },
      ExposedPorts: { "80/tcp": {} },
      HostConfig: {
        AutoRemove: true,
        Binds: ["/src:/dst:ro"],
        PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "8080" }] },
        Memory: 64 * 1024 * 1024,
        NanoCpus: 5e8,
        RestartPolicy: { Name: "on-failure", MaximumRetryCount: 3 },
        NetworkMode: "host",
        Ulimits: [{ Name: "nofile", Soft: 1024, Hard: 2048 }],
        Devices: [
          { PathOnHost: "/dev/null", PathInContainer: "/dev/null", CgroupPermissions: "rwm" },
        ],
        Tmpfs: { "/run": "size=1m" },
        CapAdd: ["NET_ADMIN"],
      },
    })
  })

  test("has mounts and health checks", () => {
    const words = "--mount type=bind,src=/a,dst=/b,ro --health-cmd true --health-interval 1m30s x"
    expect(body(...words.split(" "))).toMatchObject({
      Healthcheck: { Test: ["CMD-SHELL", "true"], Interval: 90e9 },
      HostConfig: { Mounts: [{ Type: "bind", Source: "/a", Target: "/b", ReadOnly: true }] },
    })
  })

  test.each([
    ["80", { "80/tcp": [{ HostIp: "", HostPort: "" }] }],
    ["127.0.0.1::80", { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }] }],
    ["[::1]:53:53/udp", { "53/udp": [{ HostIp: "::1", HostPort: "53" }] }],
    ["8000-8001:90-91", {
      "90/tcp": [{ HostIp: "", HostPort: "8000" }],
      "91/tcp": [{ HostIp: "", HostPort: "8001" }],
    }],
    ["8000-8010:80", { "80/tcp": [{ HostIp: "", HostPort: "8000-8010" }] }],
  ])("publishes %s", (word, bindings) => {
    expect(ports([word], [])[1]).toEqual(bindings)
  })

  test.each([["80:"], ["a:80"], ["1-3:80-81"], ["80/sctp"]])("refuses -p %s", (word) => {
    expect(() => ports([word], [])).toThrow(UsageError)
  })

  test("durations are Go's", () => {
    expect(duration("x", "1h2m0.5s")).toBe(3720.5e9)
    expect(() => duration("x", "5")).toThrow(UsageError)
  })
})

describe("text", () => {
  test("columns line up", () => {
    expect(table([["A", "LONG"], ["long", "b"]])).toBe("A      LONG\nlong   b\n")
  })

  test.each([[0, "0B"], [999, "999B"], [1_150_000, "1.15MB"], [12_345_678_901, "12.3GB"]])(
    "%i bytes are %s",
    (bytes, words) => expect(size(bytes)).toBe(words),
  )

  test.each([
    [0, "Less than a second"], [1, "1 second"], [59, "59 seconds"], [60, "About a minute"],
    [150, "2 minutes"], [3700, "About an hour"], [86_400, "24 hours"], [864_000, "10 days"],
    [2_000_000, "3 weeks"], [94_608_000, "3 years"],
  ])("%i seconds are %s", (seconds, words) => expect(span(seconds)).toBe(words))

  test("a bar is as full as its work is done", () => {
    expect(bar(1, 2)).toBe(`[${"=".repeat(24)}>${" ".repeat(25)}]  1B/2B`)
  })

  test("templates name fields", () => {
    const value = { State: { Status: "{{.Id}}" }, List: [1] }
    expect(fill("{{.State.Status}} {{json .List}} {{.No}}", value)).toBe("{{.Id}} [1] <no value>")
    expect(() => fill("{{range .List}}x{{end}}", value)).toThrow("{{range .List}}")
  })

  test.each([
    ["busybox", "busybox", "latest"],
    ["host:5000/a/b", "host:5000/a/b", "latest"],
    ["host:5000/a/b:1", "host:5000/a/b", "1"],
    ["a@sha256:ab", "a", "sha256:ab"],
  ])("%s", (reference, name, tag) => expect(splitReference(reference)).toEqual([name, tag]))

  test("frames are put together, wherever the stream was cut", () => {
    const frame = (stream: number, data: Uint8Array) => {
      const head = Buffer.alloc(8)
      head[0] = stream
      head.writeUInt32BE(data.length, 4)
      return Buffer.concat([head, data])
    }
    const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.uint8Array()))
    fc.assert(fc.property(frames, fc.integer({ min: 1, max: 9 }), (sent, step) => {
      const bytes = Buffer.concat(sent.map(([stream, data]) => frame(stream, data)))
      const got: [number, Uint8Array][] = []
      const take = demultiplexer((stream, data) => got.push([stream, new Uint8Array(data)]))
      for (let at = 0; at < bytes.length; at += step) take(bytes.subarray(at, at + step))
      expect(got).toEqual(sent)
    }))
  })
})

describe("the program", () => {
  test("by a name it does not have", () => {
    expect(balena("balena-engine-foo"))
      .toEqual({ status: 1, stdout: "", stderr: "error: unknown command: balena-engine-foo\n" })
  })

  test("without a daemon it says so", () => {
    expect(balena("balena", "-H", "unix:///no/such.sock", "ps")).toEqual({
      status: 1,
      stdout: "",
      stderr: "Cannot connect to the balenaEngine daemon at unix:///no/such.sock. "
        + "Is the balenaEngine daemon running?\n",
    })
  })

  test("says so when the daemon goes in the middle of its answer", async () => {
    const server = createServer((_, answer) => {
      answer.write('{"status":"Pulling"}\n', () => answer.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`
    const words = [MAIN, "balena", "-H", host, "pull", "app"]
    const { code, stderr } = await outcome(process.execPath, words)
    server.close()
    expect(stderr).toBe("balena: the daemon closed the connection before its answer was whole. "
      + "Is it still running?\n")
    expect(code).toBe(1)
  })

  test.each([
    [["dance"], "balena: 'dance' is not a balena command.\nSee 'balena --help'\n"],
    [["pull"], "\"balena pull\" requires 1 argument.\nSee 'balena pull --help'.\n"],
    [["ps", "--no"], "unknown flag: --no.\nSee 'balena ps --help'.\n"],
  ])("%s is refused in words", (words, stderr) => {
    expect(balena("balena", ...words)).toEqual({ status: 1, stdout: "", stderr })
  })

  test("a run that is not understood ends as docker's does", () => {
    expect(balena("balena-engine", "run").status).toBe(125)
  })

  test("of a noun without a verb lists what there is", () => {
    expect(balena("balena", "image", "--help").stdout).toContain("Usage:  balena")
  })

  test("loads no package, and nothing of the daemon", () => {
    const reached = [...reachable(sourcesOf("src"), "src/cli/main.ts")]
    const ours = (path: string) => /^(node:|src\/(cli|api\/client|api\/schema)\b)/.test(path)
    expect(reached.filter((path) => !ours(path))).toEqual([])
  })
})
