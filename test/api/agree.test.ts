import * as fc from "fast-check"
import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import type { ImageDefaults } from "../../src/oci/image-config.ts"
import { ApiFault } from "../../src/api/faults.ts"
import { agree, checkBody } from "../../src/api/schema/agree.ts"
import { decodeGo } from "../../src/api/schema/decode.ts"
import { CreateBody } from "../../src/api/schema/docker.ts"
import { BUSYBOX, DEFAULTS, NOTHING } from "./agreeing.ts"
import { signalName, signalNumber } from "../../src/api/schema/signals.ts"

const ID = "b3e3e590abc70270b32ad83dc76fcde15be347396c5119cca669d8840273355c"
const read = decodeGo(CreateBody, "CreateRequest")
const known: Record<string, string> = { g1: "1".repeat(64) }
const ask = (json: unknown, image = BUSYBOX) => {
  const body = read(json)
  checkBody(body, DEFAULTS)
  const asked = { id: "sha256:0", name: body.Image ?? "", defaults: image }
  return agree(body, asked, ID, DEFAULTS, (name) => known[name] ?? null)
}

interface Verdict {
  readonly body: object
  readonly status: number
  readonly message?: string
}
const verdicts: Verdict[] = JSON.parse(
  readFileSync(new URL("../fixtures/api/create-verdicts.json", import.meta.url), "utf8"),
)

/** Where we answer something else than a dockerd 20.10 did, and why. */
const OURS: Readonly<Record<string, string>> = {
  // It takes them, and fails at start.
  '{"HostConfig":{"PortBindings":{"80/foo":[{"HostPort":"8080"}]}}}': "invalid proto: foo",
  '{"ExposedPorts":{"x/y":{}}}': "invalid proto: y",
  '{"StopSignal":"99"}': "Invalid signal: 99",
  // It takes them, and the runtime refuses them.
  '{"HostConfig":{"CpuShares":-1}}': "invalid CPU shares (-1): value must be a positive integer",
  // It overlooks them.
  '{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/tmp","Target":"/x","TmpfsOptions":{}}]}}':
    'invalid mount config for type "bind": field TmpfsOptions must not be specified',
  // It names the driver the other way round than for the others.
  '{"HostConfig":{"LogConfig":{"Type":"local","Config":{"labels":"1"}}}}':
    "unknown log opt 'labels' for local log driver",
}
/** Said by whoever may look at the file system. */
const LATER = new Set(
  ['{"HostConfig":{"Mounts":[{"Type":"bind","Source":"/nope","Target":"/b"}]}}'],
)

describe("what dockerd refused, we refuse in the same words; what it took, we take", () => {
  test.each(verdicts.map((verdict) => [JSON.stringify(verdict.body), verdict] as const))(
    "%s",
    (text, { body, message }) => {
      const verdict = (() => {
        try {
          ask({ Image: "busybox:1.29", ...body })
          return undefined
        } catch (fault) {
          expect(fault).toBeInstanceOf(ApiFault)
          expect((fault as ApiFault).category).toBe("invalidParameter")
          return (fault as ApiFault).message
        }
      })()
      expect(verdict).toBe(LATER.has(text) ? undefined : OURS[text] ?? message)
    },
  )
})

describe("a create body as Go reads it", () => {
  test.each([
    [{ Tty: "x" }, "cannot unmarshal string into Go struct field CreateRequest.Tty of type bool"],
    [
      { HostConfig: { Memory: "1" } },
      "cannot unmarshal string into Go struct field CreateRequest.HostConfig.Memory of type int64",
    ],
    [
      { HostConfig: { Memory: 1.5 } },
      "cannot unmarshal number 1.5 into Go struct field CreateRequest.HostConfig.Memory "
        + "of type int64",
    ],
    [[], "cannot unmarshal array into Go value of type struct"],
    [
      { Env: { a: 1 } },
      "cannot unmarshal object into Go struct field CreateRequest.Env of type []string",
    ],
    [
      { Labels: { a: 1 } },
      "cannot unmarshal number into Go struct field CreateRequest.Labels of type string",
    ],
  ])("%j", (body, message) => {
    expect(() => read(body)).toThrow(`invalid JSON: json: ${message}`)
  })
  test("keys in any case, null as absence, the unknown left out, a word as a list", () => {
    expect(
      read(
        {
          image: "x",
          CMD: "echo",
          HOSTCONFIG: { memory: 5, Privileged: null },
          Bogus: 1,
          Env: [null],
        },
      ),
    )
      .toEqual({ Image: "x", Cmd: ["echo"], HostConfig: { Memory: 5 }, Env: [""] })
  })
  test("whatever comes, it is read or refused", () => {
    const keys = fc.constantFrom("Env", "HostConfig", "Labels", "Cmd", "Tty", "Volumes")
    fc.assert(fc.property(fc.jsonValue(), keys, (value, key) => {
      const host = { Mounts: value, PortBindings: value, Ulimits: value }
      for (const body of [value, { [key]: value }, { HostConfig: host }]) {
        try {
          ask({ Image: "x", ...Object(body) })
        } catch (fault) {
          expect(fault).toBeInstanceOf(ApiFault)
        }
      }
    }))
  })
})

describe("request and image together", () => {
  const image: ImageDefaults = {
    ...NOTHING,
    env: ["PATH=/image", "A=image"],
    entrypoint: ["/entry"],
    cmd: ["run"],
    user: "app",
    workingDir: "/app",
    labels: { a: "image", b: "image" },
    exposedPorts: ["80", "90/udp"],
    volumes: ["/data"],
    stopSignal: "SIGINT",
    stopTimeoutS: 3,
    healthcheck: {
      test: ["CMD", "true"],
      intervalNs: 1e9,
      timeoutNs: 0,
      startPeriodNs: 0,
      startIntervalNs: 0,
      retries: 2,
    },
  }
  const terms = (body: object) => ask({ Image: "x", ...body }, image).terms
  test("the image fills what is left open", () => {
    expect(terms({})).toMatchObject({
      args: ["/entry", "run"], env: ["PATH=/image", "A=image"], cwd: "/app", user: "app",
      stopSignal: "SIGINT", stopTimeoutS: 3, labels: { a: "image", b: "image" },
    })
  })
  test.each([
    [{ Cmd: ["x"] }, ["/entry", "x"]],
    [{ Entrypoint: ["e"] }, ["e"]],
    [{ Entrypoint: ["e"], Cmd: ["x"] }, ["e", "x"]],
    [{ Entrypoint: [] }, ["run"]],
    [{ Entrypoint: [""], Cmd: ["x"] }, ["x"]],
    [{ Cmd: [] }, ["/entry", "run"]],
  ])("%j runs %j", (body, args) => expect(terms(body).args).toEqual(args))
  test("env: the request's first, and it wins; labels too", () => {
    const agreed = terms({ Env: ["A=mine", "B"], Labels: { a: "mine" } })
    expect(agreed.env).toEqual(["A=mine", "B", "PATH=/image"])
    expect(agreed.labels).toEqual({ a: "mine", b: "image" })
  })
  test("published and exposed ports", () => {
    expect(
      terms(
        {
          HostConfig: {
            PublishAllPorts: true,
            PortBindings: { "80/tcp": [{ HostPort: "8080" }, { HostIp: "127.0.0.1" }] },
          },
        },
      ).network.ports,
    )
      .toEqual([
        { port: 80, protocol: "tcp", hostIp: "", hostPort: 8080 },
        { port: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 0 },
        { port: 90, protocol: "udp", hostIp: "", hostPort: 0 },
      ])
  })
  test("limits: half a processor, twice the memory with swap", () => {
    expect(terms({ HostConfig: { NanoCpus: 5e8, Memory: 1e7, PidsLimit: -1 } }).resources)
      .toMatchObject(
        { cpuPeriod: 100_000, cpuQuota: 50_000, memory: 1e7, memorySwap: 2e7, pids: 0 },
      )
  })
  test("mounts: short ones make their source, long ones do not", () => {
    expect(
      terms(
        {
          HostConfig: {
            Binds: ["/a/../b/:/c/:ro,rslave"],
            Mounts: [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { SizeBytes: 5 } }],
            Tmpfs: { "/u": "ro,size=1m" },
          },
        },
      ).mounts,
    )
      .toEqual([
        {
          kind: "bind",
          source: "/b",
          target: "/c",
          readonly: true,
          propagation: "rslave",
          options: [],
          create: true,
        },
        {
          kind: "tmpfs",
          source: "",
          target: "/t",
          readonly: false,
          propagation: "",
          options: ["size=5", "mode=1777"],
          create: false,
        },
        {
          kind: "tmpfs",
          source: "",
          target: "/u",
          readonly: true,
          propagation: "",
          options: ["size=1m"],
          create: false,
        },
      ])
  })
  test("a named volume is not here yet, an anonymous one lies in the container and says so", () => {
    expect(
      () => ask({ Image: "x", HostConfig: { Binds: ["data:/x"] } }),
    ).toThrow("not supported by this engine yet")
    expect(ask({ Image: "x" }, image).warnings).toEqual([expect.stringContaining("/data")])
  })
  test("another container's namespaces, by its ID", () => {
    expect(
      terms(
        { HostConfig: { NetworkMode: "container:g1", PidMode: "container:g1" }, ExposedPorts: {} },
      ),
    ).toMatchObject({
      network: { mode: `container:${"1".repeat(64)}` },
      pidMode: `container:${"1".repeat(64)}`,
    })
  })
  test("balenaEngine's variable with the container's ID", () => {
    expect(terms({ HostConfig: { ContainerIDEnv: "ME" } }).env).toContain(`ME=${ID}`)
    try {
      terms({ Env: ["MEAT=1"], HostConfig: { ContainerIDEnv: "ME" } })
      expect.unreachable()
    } catch (fault) {
      expect(fault).toMatchObject(
        { category: "conflict", message: "Error environment variable ME already defined" },
      )
    }
  })
})

test("signals by name, number and alias", () => {
  expect(["KILL", "sigkill", "9"].map(signalNumber)).toEqual([9, 9, 9])
  expect(
    ["SIGRTMIN+3", "RTMAX", "TERM", "15"].map(signalName),
  ).toEqual(["37", "64", "SIGTERM", "SIGTERM"])
  expect(() => signalNumber("RTMIN+99")).toThrow("Invalid signal")
})
