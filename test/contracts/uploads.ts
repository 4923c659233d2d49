import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import {
  Carrier, type KnownBlob, type UploadJob, type Uploaded,
} from "../../src/layers/carrier.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import type { CarrierWorld, WorldLayer } from "./carrier.ts"

/** What uploads need beside: a registry that can be made to lack a blob. */
export interface UploadWorld extends CarrierWorld {
  /** The next that asks whether a repository has this blob hears that it has not. */
  readonly hide: (digest: string) => void
}

const MIB = 2 ** 20
const quiet = { checkpoint: () => Effect.void, progress: () => {}, retrying: () => {} }

/** What every body of `Carrier` promises of uploads: the real one, and the simulator's. */
export const uploadContract = (name: string, makeWorld: () => Promise<UploadWorld>): void => {
  describe(`${name}: uploads`, () => {
    let world: UploadWorld
    beforeAll(async () => {
      world = await makeWorld()
    })
    afterAll(() => world.close())

    const run = <A, E>(program: (carrier: Carrier["Service"]) => Effect.Effect<A, E>) =>
      Effect.runPromise(Effect.provide(Effect.flatMap(Carrier, program), world.body))

    /** A layer of so many bytes that has been fetched; in the registry it lies in `lender`. */
    const fetched = async (bytes: number) => {
      const image = await world.put([bytes])
      const [layer] = image.layers as [WorldLayer]
      const directory = world.directory()
      await run((carrier) =>
        carrier.fetch({
          job: "layer/x",
          diffId: layer.diffId,
          bottom: true,
          directory,
          source: layer.source,
          access: world.access,
          base: null,
          whole: null,
          checkpoint: null,
        }, quiet))
      const known: KnownBlob = {
        digest: layer.source.digest,
        size: layer.source.size,
        mediaType: MEDIA.dockerLayerGzip,
        from: image.repository,
      }
      return { layer, directory, known }
    }

    const jobOf = (
      { layer, directory }: { readonly layer: WorldLayer; readonly directory: string },
      repository: string,
      known: readonly KnownBlob[] = [],
    ): UploadJob => ({
      job: "push/x",
      diffId: layer.diffId,
      directory,
      packing: "gzip",
      access: world.access,
      repository,
      known,
    })

    const upload = (job: UploadJob, seen: (readonly [number, number])[] = []): Promise<Uploaded> =>
      run((carrier) =>
        carrier.upload(job, {
          named: () => seen.push([0, 0]),
          progress: (current, total) => void seen.push([current, total]),
          retrying: () => {},
        }))

    test("a layer that is nowhere is made anew, the same each time", async () => {
      const there = await fetched(MIB)
      const seen: (readonly [number, number])[] = []
      const first = await upload(jobOf(there, "one"), seen)
      expect(first).toMatchObject({ how: "pushed", from: null, mediaType: MEDIA.dockerLayerGzip })
      expect(seen[0]).toEqual([0, 0]) // the registry was there before any of it was read
      expect(seen.at(-1)).toEqual([there.layer.tarBytes, there.layer.tarBytes])
      const { digest, size } = await upload(jobOf(there, "two"))
      expect({ digest, size }).toEqual({ digest: first.digest, size: first.size })
      expect(await world.isOpen(there.directory)).toBe(false)
    })

    test("one that the repository has is not sent, one that another has is lent", async () => {
      const there = await fetched(100_000)
      const seen: (readonly [number, number])[] = []
      world.hide(there.known.digest)
      const lent = await upload(jobOf(there, "three", [there.known]), seen)
      const { from, ...blob } = there.known
      expect(lent).toEqual({ ...blob, how: "mounted", from })
      const had = await upload(jobOf(there, "three", [there.known]), seen)
      expect(had).toEqual({ ...blob, how: "existed", from: null })
      expect(seen).toEqual([[0, 0], [0, 0]])
    })

    test("interrupted, it holds nothing of the layer any more", async () => {
      const there = await fetched(8 * MIB)
      await run((carrier) =>
        Effect.gen(function*() {
          let read = 0
          const fiber = yield* Effect.forkChild(carrier.upload(jobOf(there, "four"), {
            ...quiet,
            named: () => {},
            progress: (current) => void (read = current),
          }))
          while (read === 0) yield* Effect.sleep(5)
          yield* Fiber.interrupt(fiber)
          expect(yield* Effect.promise(() => world.isOpen(there.directory))).toBe(false)
          yield* carrier.drop(there.directory)
        }))
    })

    test("a manifest is kept with the small blobs that it names", async () => {
      const there = await fetched(1000)
      const { digest, size } = await upload(jobOf(there, "five"))
      const config = Buffer.from("{}")
      const manifest = Buffer.from(JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA.dockerManifest,
        config: { mediaType: MEDIA.dockerConfig, size: config.length, digest: digestOf(config) },
        layers: [{ mediaType: MEDIA.dockerLayerGzip, size, digest }],
      }))
      const published = await run((carrier) =>
        carrier.publish({
          access: world.access,
          repository: "five",
          reference: "1",
          mediaType: MEDIA.dockerManifest,
          manifest,
          subject: null,
          blobs: [config],
        }, quiet))
      expect(published).toBe(digestOf(manifest))
    })
  })
}
