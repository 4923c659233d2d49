import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type AddressInfo, connect, createServer } from "node:net"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ApiFault } from "../../src/api/faults.ts"
import { hijack } from "../../src/api/hijack.ts"
import { readJson } from "../../src/api/json.ts"
import { route } from "../../src/api/route.ts"
import { type Listener, serve } from "../../src/api/server.ts"
import { json, jsonLines } from "../../src/api/stream.ts"
import { call, Raw, served } from "./tools.ts"

/** What a disconnected client should have freed. */
const held = new Set<string>()
const freed: (() => void)[] = []
const holding = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => held.add(name)),
    () =>
      Effect.sync(() => {
        held.delete(name)
        for (const wake of freed.splice(0)) wake()
      }),
  )
const whenFreed = async (name: string) => {
  while (held.has(name)) await new Promise<void>((resolve) => freed.push(resolve))
}
const lines = Effect.runSync(Queue.unbounded<unknown>())

/** Echoes in upper case as it comes; says bye once the client has nothing more to say. */
const shout = (socket: import("node:stream").Duplex) =>
  Effect.callback<void>((resume) => {
    socket.on("data", (data: Buffer) => socket.write(data.toString().toUpperCase()))
    socket.on("end", () => {
      socket.write("bye")
      resume(Effect.void)
    })
  })

const routes = [
  route(
    "GET",
    "/images/{name}/json",
    ({ params, version }) => Effect.succeed(json({ ...params, version })),
  ),
  route("GET", "/fault", () => Effect.fail(ApiFault.of("conflict", "in use"))),
  route("GET", "/defect", () => Effect.die(new Error("a bug"))),
  route(
    "POST",
    "/body",
    ({ request }) => Effect.map(readJson(request), (body) => json(body ?? null)),
  ),
  route("GET", "/lines", ({ request }) =>
    Effect.andThen(holding("lines"), jsonLines(request, Stream.fromQueue(lines)))),
  route("POST", "/containers/{name}/attach", (call) => {
    if (call.params["name"] === "missing") {
      return Effect.fail(ApiFault.of("notFound", "No such container: missing"))
    }
    return hijack(call, call.query.has("tty"), (socket) =>
      Effect.scoped(Effect.andThen(holding(call.params["name"]!), shout(socket))))
  }),
  route("POST", "/exec/{id}/start", (call) =>
    Effect.flatMap(readJson(call.request), (body) =>
      hijack(call, true, (socket) =>
        Effect.andThen(Effect.sync(() => socket.write(JSON.stringify(body))), shout(socket))))),
]

let server: Awaited<ReturnType<typeof served>>
beforeAll(async () => {
  server = await served(routes)
})
afterAll(() => server.stop())

describe("versions, names and faults", () => {
  test("a name may hold slashes, a path may be versioned and have doubled slashes", async () => {
    const plain = await call(server.path, "GET", "/images/host:5000/a/b:tag/json")
    expect(plain.json).toEqual({ name: "host:5000/a/b:tag", version: "1.51" })
    const escaped = await call(server.path, "GET", "/v1.24//images/a%2Fb/json")
    expect(escaped.json).toEqual({ name: "a/b", version: "1.24" })
  })
  test("every answer says who we are", async () => {
    for (const path of ["/fault", "/nowhere", "/v1.99/fault", "/images/a/json"]) {
      const { headers } = await call(server.path, "GET", path)
      expect(headers).toMatchObject({
        "api-version": "1.51",
        "docker-experimental": "false",
        ostype: "linux",
        server: expect.stringContaining("balena-engine/"),
      })
    }
  })
  test.each([
    ["/v1.52/fault", 400, "client version 1.52 is too new. Maximum supported API version is 1.51"],
    [
      "/v1.23/fault",
      400,
      "client version 1.23 is too old. Minimum supported API version is 1.24, "
        + "please upgrade your client to a newer version",
    ],
    ["/v1.30/fault", 409, "in use"],
    ["/v1.99/nowhere", 404, "page not found"],
    ["/nowhere", 404, "page not found"],
    ["/body", 404, "page not found"],
    ["/images/%zz/json", 400, "invalid URL escape"],
    ["/defect", 500, "a bug"],
  ])("GET %s: %i", async (path, status, message) => {
    const answer = await call(server.path, "GET", path)
    expect(answer.status).toBe(status)
    expect(answer.headers["content-type"]).toBe("application/json")
    expect(answer.text).toBe(`${JSON.stringify({ message })}\n`)
  })
})

describe("listening", () => {
  const listen = (listener: Listener) => {
    const scope = Scope.makeUnsafe()
    const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
    const started = Effect.runPromise(Effect.exit(Scope.provide(serve(routes, [listener]), scope)))
    return { started, close }
  }
  test("on TCP, beside a unix socket", async () => {
    let port = 0
    const probe = createServer().listen(0, "127.0.0.1", () => {
      port = (probe.address() as AddressInfo).port
      probe.close()
    })
    await new Promise((resolve) => probe.once("close", resolve))
    const tcp = listen({ name: "tcp", listen: { host: "127.0.0.1", port } })
    expect((await tcp.started)._tag).toBe("Success")
    const socket = connect(port, "127.0.0.1")
    socket.end("GET /fault HTTP/1.0\r\n\r\n")
    const bytes: Buffer[] = []
    for await (const chunk of socket) bytes.push(chunk)
    expect(Buffer.concat(bytes).toString()).toMatch(/^HTTP\/1\.1 409 /)
    await tcp.close()
  })
  test("an address that is taken is a fault that names it", async () => {
    const second = listen({ name: "unix://taken", listen: { path: server.path } })
    const exit = await second.started
    expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toMatchObject({
      message: expect.stringMatching(/^cannot listen on unix:\/\/taken: .*EADDRINUSE/),
    })
    await second.close()
  })
})

describe("bodies", () => {
  const post = (body: string | undefined, headers = {}) =>
    call(server.path, "POST", "/body", body, headers)
  test("JSON is read, none is no fault", async () => {
    expect((await post('{"a":[1]}')).json).toEqual({ a: [1] })
    expect(
      (await post('{"a":1}', { "content-type": "application/json; charset=utf-8" })).json,
    ).toEqual({ a: 1 })
    expect((await post(undefined)).json).toBe(null)
  })
  test.each([
    ['{"a":1,', "invalid JSON: unexpected EOF"],
    ['{"a"', "invalid JSON: unexpected EOF"],
    ['{"a":"x', "invalid JSON: unexpected EOF"],
    ["monsense", "invalid JSON: invalid character 'm' looking for beginning of value"],
    ["{a:1}", "invalid JSON: invalid character 'a' looking for beginning of object key string"],
    ["{} {}", "unexpected content after JSON"],
  ])("%s", async (body, message) => {
    const answer = await post(body)
    expect([answer.status, answer.json]).toEqual([400, { message }])
  })
  test("another content type is refused", async () => {
    const answer = await post("{}", { "content-type": "text/plain" })
    expect(answer.status).toBe(400)
    expect(answer.json.message).toBe(
      "unsupported Content-Type header (text/plain): must be 'application/json'",
    )
  })
  test("a body beyond all measure is refused", async () => {
    const answer = await post(JSON.stringify("x".repeat(5 * 1024 * 1024)))
    expect(answer.status).toBe(413)
  })
})

describe("streams", () => {
  test("headers at once, lines as they are made; a client that leaves frees all", async () => {
    const raw = new Raw(server.path)
    raw.socket.write("GET /lines HTTP/1.1\r\nHost: x\r\n\r\n")
    await raw.sees("\r\n\r\n")
    expect(held.has("lines")).toBe(true)
    Queue.offerUnsafe(lines, { one: 1 })
    await raw.sees('{"one":1}\n')
    Queue.offerUnsafe(lines, { two: 2 })
    await raw.sees('{"two":2}\n')
    raw.socket.destroy()
    await whenFreed("lines")
  })
})

const JSON_OF_7 = "Content-Type: application/json\r\nContent-Length: 7\r\n"
const upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"

describe("hijacking", () => {
  test.each([
    ["/v1.41/containers/a/attach", "application/vnd.docker.raw-stream"],
    ["/v1.42/containers/a/attach", "application/vnd.docker.multiplexed-stream"],
    ["/v1.42/containers/a/attach?tty=1", "application/vnd.docker.raw-stream"],
    ["/containers/a/attach", "application/vnd.docker.multiplexed-stream"],
  ])("by upgrade: POST %s", async (path, type) => {
    const raw = new Raw(server.path)
    raw.socket.write(`POST ${path} HTTP/1.1\r\n${upgrade}\r\nearly `)
    await raw.sees("EARLY ")
    raw.socket.write("late")
    await raw.sees("LATE")
    raw.socket.end() // half-close: the answer still comes
    expect(await raw.end()).toBe(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\n`
        + "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nEARLY LATEbye",
    )
  })
  test.each([
    ["no length", "", "", "early GET / HTTP/1.1\r\n\r\n", "EARLY GET / HTTP/1.1\r\n\r\n"],
    ["no body", "Content-Length: 0\r\n", "", "early ", "EARLY "],
    [
      "a body",
      "Content-Length: 13\r\nContent-Type: application/json\r\n",
      '{"stream":1}\n',
      "P",
      "P",
    ],
  ])("in the old way, with %s, early bytes in the same packet", async (...row) => {
    const [, headers, body, early, echo] = row
    const raw = new Raw(server.path)
    const head = `POST /v1.24/containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\n${headers}`
    raw.socket.write(`${head}\r\n${body}${early}`)
    await raw.sees(echo)
    raw.socket.write("late")
    await raw.sees("LATE")
    raw.socket.end()
    expect(await raw.end()).toBe(
      `HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n${echo}LATEbye`,
    )
  })
  test("in the old way, in many packets, after another request on the line", async () => {
    const raw = new Raw(server.path)
    raw.socket.write("GET /fault HTTP/1.1\r\nHost: x\r\n\r\n")
    await raw.sees("in use")
    const all = `POST /exec/e/start HTTP/1.1\r\nHost: x\r\n${JSON_OF_7}\r\n{"a":1}stdin`
    for (const byte of all) {
      raw.socket.write(byte)
      await new Promise((resolve) => setImmediate(resolve))
    }
    raw.socket.end()
    expect(await raw.end()).toMatch(/\r\n\r\n\{"a":1\}STDINbye$/)
  })
  test("exec start by upgrade, with its body in a packet of its own", async () => {
    const raw = new Raw(server.path)
    raw.socket.write(`POST /exec/e/start HTTP/1.1\r\n${upgrade}${JSON_OF_7}\r\n`)
    await new Promise((resolve) => setImmediate(resolve))
    raw.socket.write('{"a":1}std')
    raw.socket.end("in")
    expect(await raw.end()).toMatch(/^HTTP\/1\.1 101 .*\r\n\r\n\{"a":1\}STDINbye$/s)
  })
  test.each([["by upgrade", upgrade], ["in the old way", "Host: x\r\n"]])(
    "a fault is answered in HTTP: %s",
    async (_, headers) => {
      const raw = new Raw(server.path)
      raw.socket.write(`POST /containers/missing/attach HTTP/1.1\r\n${headers}\r\n`)
      expect(await raw.end()).toMatch(/^HTTP\/1\.1 404 .*No such container: missing/s)
    },
  )
  test("other paths are never upgraded: curl offers h2c everywhere", async () => {
    const raw = new Raw(server.path)
    raw.socket.write(
      "GET /fault HTTP/1.1\r\nHost: x\r\n"
        + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    )
    await raw.sees("in use")
    expect(raw.received.toString()).toMatch(/^HTTP\/1\.1 409 /)
    raw.socket.destroy()
  })
  test("a chunked body in the old way is refused, not misread", async () => {
    const raw = new Raw(server.path)
    raw.socket.write(
      "POST /containers/a/attach HTTP/1.1\r\nHost: x\r\n"
        + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    )
    await raw.sees("hijack connection missing")
    raw.socket.destroy()
  })
  test("a client that goes away frees what it held", async () => {
    const socket = connect(server.path)
    socket.write(`POST /containers/gone/attach HTTP/1.1\r\n${upgrade}\r\n`)
    await new Promise((resolve) => socket.once("data", resolve))
    expect(held.has("gone")).toBe(true)
    socket.destroy()
    await whenFreed("gone")
  })
})
