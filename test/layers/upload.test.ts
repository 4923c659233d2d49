import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { squeezed } from "../../src/delta/squeeze/squeeze.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { Carrier, type UploadJob } from "../../src/layers/carrier.ts"
import type { WorldLayer } from "../contracts/carrier.ts"
import { uploadContract } from "../contracts/uploads.ts"
import { linuxWorld, type LinuxWorld } from "./child-world.ts"

const MIB = 2 ** 20

uploadContract("the real child", async () => {
  const world = await linuxWorld()
  return {
    ...world,
    hide: (name) =>
      world.registry.inject({
        on: "blob", name, times: 1, misdeed: { do: "answer", status: 404 },
      }),
  }
})

describe("a layer that is sent", () => {
  let world: LinuxWorld
  const causes: string[] = []
  beforeAll(async () => {
    world = await linuxWorld()
  })
  afterAll(() => world.close())

  const run = <A, E>(program: (carrier: Carrier["Service"]) => Effect.Effect<A, E>) =>
    Effect.runPromise(Effect.provide(Effect.flatMap(Carrier, program), world.body))

  const fetched = async (bytes: number): Promise<UploadJob> => {
    const image = await world.put([bytes])
    const [{ diffId, source }] = image.layers as [WorldLayer]
    const directory = world.directory()
    const { access } = world
    await run((carrier) =>
      carrier.fetch({
        job: "layer/x", diffId, bottom: true, directory, source, access, base: null, whole: null,
        checkpoint: null,
      }, {
        progress: () => {},
        retrying: () => {},
        checkpoint: () => Effect.void,
      }))
    const place = { access, repository: "pushed", known: [] }
    return { job: "push/x", diffId, directory, packing: "gzip", ...place }
  }

  const watch = {
    named: () => {},
    progress: () => {},
    retrying: (cause: string) => void causes.push(cause),
  }
  const upload = (job: UploadJob) => run((carrier) => carrier.upload(job, watch))
  const refused = (job: UploadJob) => run((carrier) => Effect.flip(carrier.upload(job, watch)))

  const sent = async (repository: string, digest: string): Promise<Buffer> => {
    const answer = await fetch(`http://${world.registry.host}/v2/${repository}/blobs/${digest}`)
    return Buffer.from(await answer.arrayBuffer())
  }

  test("is the tar that it came as, in gzip", async () => {
    const job = await fetched(5 * MIB)
    const { digest, size } = await upload(job)
    const blob = await sent("pushed", digest)
    expect(blob).toHaveLength(size)
    expect(digestOf(blob)).toBe(digest)
    expect(digestOf(gunzipSync(blob))).toBe(job.diffId)
  })

  test("is that tar squeezed, where it is to be smallest", async () => {
    const job = await fetched(MIB)
    const { digest } = await upload({ ...job, packing: "smallest", repository: "small" })
    const blob = await sent("small", digest)
    const tar = gunzipSync(blob)
    expect(digestOf(tar)).toBe(job.diffId)
    expect(blob.equals(Buffer.concat([...squeezed([tar])]))).toBe(true)
  })

  test("goes on where the connection broke, byte for byte", async () => {
    const job = await fetched(6 * MIB)
    const whole = await upload(job)
    const before = world.registry.uploads.received
    world.registry.inject({
      on: "upload", name: "PATCH", times: 2, misdeed: { do: "cut", afterBytes: 1_500_000 },
    })
    causes.length = 0
    expect(await upload({ ...job, repository: "again" })).toEqual(whole)
    expect(causes).toHaveLength(2)
    expect(world.registry.uploads.received - before).toBe(whole.size)
  })

  test("is refused by a registry that is not there, at once", async () => {
    const job = await fetched(1000)
    const access = { ...job.access, host: "127.0.0.1:1" }
    expect(await refused({ ...job, access })).toMatchObject({
      reason: "unreachable",
      cause: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
    })
  })

  test("and damaged is never whole at the registry", async () => {
    const job = await fetched(MIB)
    const file = join(job.directory, "diff/d0", readdirSync(join(job.directory, "diff/d0"))[0]!)
    const content = readFileSync(file)
    content[5]! ^= 1
    writeFileSync(file, content)
    const fault = await refused({ ...job, repository: "damaged" })
    expect(fault.reason).toBe("damaged")
    expect(fault.cause).toContain(file)
    const puts = world.registry.seen.filter(({ kind, method, path }) =>
      kind === "upload" && method === "PUT" && path.includes("/damaged/"))
    expect(puts).toEqual([])
    appendFileSync(join(job.directory, "index"), "x")
    expect((await refused(job)).reason).toBe("damaged")
  })
})
