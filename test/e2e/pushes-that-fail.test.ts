import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ask, dockerDone, textOf } from "../../simulations/bench/engines/docker.ts"
import { dockerd } from "../../simulations/bench/engines/dockerd.ts"
import { type Daemon, startDaemon } from "../../simulations/bench/engines/engine.ts"
import { makeVolume } from "../../simulations/powercut/disk.ts"
import type { EmbeddedRegistry, Fault, Misdeed } from "../../simulations/world/registry.ts"
import { noise, tarball } from "../layers/tarballs.ts"
import { archiveOf, load, partsOf, savedFiles } from "./archives.ts"
import { whyNoEngine } from "./engine.ts"
import { furnishedEngine } from "./furnished.ts"
import { expectIntact } from "./intact.ts"
import { errorIn, type Heard, type Line, UPDATE } from "./pulling.ts"
import { push, type PushHeard } from "./pushing.ts"

const VOLUME_MIB = 256
const coded = (status: number, code: string, message: string, headers = {}): Misdeed => ({
  do: "answer",
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify({ errors: [{ code, message, detail: ["app"] }] }),
})
const answer = (status: number, headers = {}): Misdeed => ({ do: "answer", status, headers })

type When = Omit<Fault, "misdeed">
/** Begins the upload, sends a chunk, ends it; names what was uploaded. */
const STEPS = {
  POST: { on: "upload", name: "POST" },
  PATCH: { on: "upload", name: "PATCH" },
  PUT: { on: "upload", name: "PUT" },
  manifest: { on: "manifest", method: "PUT" },
} as const
type Step = keyof typeof STEPS
const ALL = Object.keys(STEPS) as readonly Step[]

/** Three chunks, of which the last is short. */
const CONTENT = noise(9 * 2 ** 20, 7)
const ARCHIVE = archiveOf(savedFiles(partsOf("app:1", [tarball({ path: "a", content: CONTENT })])))
const VERSIONS = ([1, 2] as const).map((version) => {
  const tars = UPDATE[version].map(({ tar }) => Buffer.from(tar))
  return archiveOf(savedFiles(partsOf(`step:${version}`, tars)))
})

describe.skipIf(whyNoEngine() !== null)("a push", () => {
  const device = furnishedEngine("refused", async (engine) => {
    for (const archive of [ARCHIVE, ...VERSIONS]) expect(await load(engine, archive)).toBeNull()
  })
  let theirs: Daemon

  beforeAll(async () => {
    const { corner } = device
    const { mountPoint } = await makeVolume(corner.root, "dockerd", VOLUME_MIB)
    const dataRoot = join(mountPoint, "data")
    theirs = await startDaemon(corner.rig, dockerd, { name: "dockerd", dataRoot })
    const archive = join(corner.root, "app.tar")
    writeFileSync(archive, ARCHIVE)
    await dockerDone(theirs.socket, ["load", "-i", archive])
  })
  afterAll(async () => {
    await theirs.stop()
  })

  /** Gives an image of this repository's a name there, for as long as the work takes. */
  const named = async <A>(
    { host }: EmbeddedRegistry, work: (name: string) => Promise<A>, from = "app:1",
  ): Promise<A> => {
    await device.engine.done(["tag", from, `${host}/app:1`])
    try {
      return await work(`${host}/app`)
    } finally {
      await device.engine.done(["rmi", `${host}/app:1`])
    }
  }
  const send = (name: string) => push(device.engine.place.socket, name, "1")
  const times = ({ seen }: EmbeddedRegistry, { on, name, method = name }: When): number =>
    seen.filter((one) => one.kind === on && one.method === method).length
  const retriesIn = ({ lines }: Heard): number =>
    lines.filter(({ status }) => /^Retrying in \d+ seconds?$/.test(status ?? "")).length
  /** It begins as every push does, and ends with what the registry said. */
  const saidIn = ({ status, lines }: Heard): string => {
    const { error } = lines.at(-1)!
    expect([status, lines.at(-1)]).toEqual([200, { error, errorDetail: { message: error } }])
    return error!
  }
  /** All of the image is there. */
  const expectThere = async ({ host }: EmbeddedRegistry, heard: PushHeard): Promise<void> => {
    expect(errorIn(heard)).toBeNull()
    const headers = { accept: "*/*" }
    const at = (path: string, method = "GET") =>
      fetch(`http://${host}/v2/app/${path}`, { method, headers })
    const { config, layers } = await (await at("manifests/1")).json() as {
      config: { digest: string }
      layers: readonly { digest: string; size: number }[]
    }
    expect(layers[0]!.size).toBeGreaterThan(CONTENT.length)
    for (const { digest } of [config, ...layers]) {
      expect((await at(`blobs/${digest}`, "HEAD")).status).toBe(200)
    }
  }

  const DENIED = coded(403, "DENIED", "requested access to the resource is denied")
  const REFUSALS: readonly (readonly [string, Misdeed, string, readonly Step[]])[] = [
    ["401", coded(401, "UNAUTHORIZED", "authentication required"),
      "unauthorized: authentication required", ALL],
    ["401 and nothing else", answer(401), "unauthorized: authentication required", ALL],
    ["403", DENIED, "denied: requested access to the resource is denied", ALL],
    ["404", coded(404, "NAME_UNKNOWN", "no such repository"),
      "name unknown: no such repository", ["POST", "manifest"]],
    ["413, and hangs up", answer(413, { connection: "close" }),
      "received unexpected HTTP status: 413 Payload Too Large", ALL],
    ["an error of its own", coded(400, "MANIFEST_INVALID", "manifest invalid"),
      "manifest invalid: manifest invalid", ALL],
  ]
  const CASES = REFUSALS.flatMap(([what, misdeed, words, steps]) =>
    steps.map((step) => [what, step, misdeed, words] as const))

  test.each(CASES)("that is refused with %s at %s ends at once, and says so", async (
    _, step, misdeed, words,
  ) => {
    const registry = await device.registry()
    const when = STEPS[step]
    registry.inject({ ...when, misdeed })
    await named(registry, async (name) => {
      const heard = await send(name)
      expect(heard.lines[0]!.status).toBe(`The push refers to repository [${name}]`)
      expect(saidIn(heard).endsWith(words)).toBe(true)
      // A chunk that is refused while it is being sent may have to be sent again to hear why.
      if (step !== "PATCH") expect([times(registry, when), retriesIn(heard)]).toEqual([1, 0])
      await expectIntact(device.corner, device.before)
      registry.heal()
      await expectThere(registry, await send(name))
    })
  })

  const SAME = CASES.filter(([what, step]) =>
    ["401", "401 and nothing else", "403"].includes(what) && step !== "PATCH")
  test.each(SAME)("that is refused with %s at %s: dockerd says the same", async (
    _, step, misdeed,
  ) => {
    const registry = await device.registry()
    registry.inject({ ...STEPS[step], misdeed })
    await dockerDone(theirs.socket, ["tag", "app:1", `${registry.host}/app:1`])
    await named(registry, async (name) => {
      expect(saidIn(await send(name))).toBe(saidIn(await push(theirs.socket, name, "1")))
    })
  })

  const PASSING: Readonly<Record<string, Misdeed>> = {
    "5xx": answer(500),
    "429": coded(429, "TOOMANYREQUESTS", "slow down", { "retry-after": "1" }),
    "a connection that breaks": { do: "drop", afterBytes: 0 },
  }
  test.each(ALL)("goes on after 5xx, 429 and a connection that breaks at %s", async (step) => {
    await Promise.all(Object.values(PASSING).map(async (misdeed) => {
      const registry = await device.registry()
      registry.inject({ ...STEPS[step], times: 1, misdeed })
      await named(registry, async (name) => {
        const heard = await send(name)
        await expectThere(registry, heard)
        expect(retriesIn(heard)).toBe(1)
      })
    }))
  })

  test("goes on where the answer to its manifest was lost", async () => {
    const registry = await device.registry()
    registry.inject({ ...STEPS.manifest, times: 1, misdeed: { do: "cut", afterBytes: 0 } })
    await named(registry, async (name) => expectThere(registry, await send(name)))
  })

  test("is given up after five tries, as dockerd gives up", async () => {
    await Promise.all((["POST", "manifest"] as const).map(async (step) => {
      const registry = await device.registry()
      registry.inject({ ...STEPS[step], misdeed: answer(500) })
      await named(registry, async (name) => {
        const heard = await send(name)
        expect(saidIn(heard)).toMatch(/: received unexpected HTTP status: 500 Internal Server/)
        expect([times(registry, STEPS[step]), retriesIn(heard)]).toEqual([5, 4])
      })
    }))
  })

  test("of a digest is refused in the stream, as dockerd does", async () => {
    const registry = await device.registry()
    await named(registry, async (name) => {
      await expectThere(registry, await send(name))
      const [{ RepoDigests }] = JSON.parse(await device.engine.done(["inspect", `${name}:1`]))
      const [digest] = RepoDigests.filter((one: string) => one.startsWith(name))
      const heard = await push(device.engine.place.socket, digest, null)
      expect(saidIn(heard)).toBe("cannot push a digest reference")
    })
  })

  test("reads well in the docker CLI", async () => {
    const registry = await device.registry()
    registry.inject({ ...STEPS.manifest, misdeed: DENIED })
    await named(registry, async (name) => {
      const { code, stderr } = await device.engine.docker(["push", `${name}:1`])
      expect([code, stderr.trim()])
        .toEqual([1, "denied: requested access to the resource is denied"])
    })
  })

  describe("of a delta, in one step with its making,", () => {
    const make = async (name: string): Promise<Heard> => {
      const path = `/images/delta?src=step:1&dest=${name}:1&push=1`
      const said = await ask(device.engine.place.socket, "POST", path)
      const lines = (await textOf(said)).split("\n").filter(Boolean)
      return { status: said.status, lines: lines.map((line): Line => JSON.parse(line)) }
    }
    /** A registry that has the target; `index` is what lists what refers to it. */
    const offered = async (
      work: (name: string, registry: EmbeddedRegistry, index: string) => Promise<void>,
    ): Promise<void> => {
      const registry = await device.registry()
      await named(registry, async (name) => {
        const { lines } = await send(name)
        const digest = lines.find(({ aux }) => aux !== undefined)!.aux!.Digest
        await work(name, registry, digest.replace(":", "-"))
      }, "step:2")
    }
    const attached = async ({ host }: EmbeddedRegistry, index: string): Promise<number> => {
      const found = await fetch(`http://${host}/v2/app/manifests/${index}`)
      return found.status === 200 ? (await found.json() as any).manifests.length : 0
    }
    const DELTA_STEPS: readonly (readonly [string, (index: string) => When])[] = [
      ["its layers", () => STEPS.POST],
      ["its manifest", () => STEPS.manifest],
      ["what lists it", (name) => ({ ...STEPS.manifest, name })],
    ]
    test.each(DELTA_STEPS)("ends with a refusal of %s, and leaves nothing", (_, step) =>
      offered(async (name, registry, index) => {
        registry.inject({ ...step(index), misdeed: DENIED })
        expect(saidIn(await make(name)))
          .toBe("denied: requested access to the resource is denied")
        expect(await attached(registry, index)).toBe(0)
        await expectIntact(device.corner, device.before)
        registry.heal()
        expect(errorIn(await make(name))).toBeNull()
        expect(await attached(registry, index)).toBe(1)
      }))

    test.each(DELTA_STEPS)("goes on when the registry has time for %s", (_, step) =>
      offered(async (name, registry, index) => {
        registry.inject({ ...step(index), times: 1, misdeed: answer(503) })
        const heard = await make(name)
        expect([errorIn(heard), retriesIn(heard)]).toEqual([null, 1])
        expect(await attached(registry, index)).toBe(1)
      }))

    test("ends where its target has gone from the registry", () =>
      offered(async (name, registry) => {
        registry.inject({ on: "manifest", method: "GET", misdeed: answer(404) })
        expect(saidIn(await make(name)))
          .toMatch(/^what the delta makes is not in \S+\/app any more, push it again: /)
      }))
  })
})
