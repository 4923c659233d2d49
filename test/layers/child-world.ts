import { createHash, randomBytes } from "node:crypto"
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as tar from "tar-stream"
import { putImage } from "../../simulations/world/image-maker.ts"
import { EmbeddedRegistry, type RegistryOptions } from "../../simulations/world/registry.ts"
import { bodyLinux, CARRIER_DEFAULTS } from "../../src/layers/carrier-linux.ts"
import type { CarrierSettings } from "../../src/layers/carrier-linux.ts"
import { Carrier } from "../../src/layers/carrier.ts"
import type { Compression } from "../../src/oci/manifest.ts"
import type { CarrierWorld, WorldImage } from "../contracts/carrier.ts"

const ENTRY = join(import.meta.dirname, "../../src/layers/child.ts")

/** A tar of `bytes` incompressible bytes in files of at most 1 MiB. */
export async function randomTar(bytes: number): Promise<Buffer> {
  const pack = tar.pack()
  for (let index = 0; index < 7; index += 1) {
    pack.entry({ name: `d${index}/`, type: "directory", mtime: new Date(9e11), mode: 0o750 })
  }
  for (let at = 0, index = 0; at < bytes; at += 1 << 20, index += 1) {
    const name = `d${index % 7}/file-${index}`
    const content = randomBytes(Math.min(bytes - at, 1 << 20))
    pack.entry({ name, mtime: new Date(1e12 + index), mode: 0o640 }, content)
  }
  pack.finalize()
  return Buffer.concat(await Array.fromAsync(pack as AsyncIterable<Buffer>))
}

/** Children of this process that are extraction children. */
export const childPids = (): number[] =>
  readdirSync("/proc").map(Number).filter((pid) => {
    try {
      const parent = /^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
      return pid > 0 && Number(parent) === process.pid
        && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(ENTRY)
    } catch {
      return false
    }
  })

/** What the extraction children have open below a directory. */
export const openBelow = (directory: string): string[] =>
  childPids().flatMap((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        try {
          const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
          return path === directory || path.startsWith(`${directory}/`) ? [path] : []
        } catch {
          return []
        }
      })
    } catch {
      return []
    }
  })

const treeOf = (directory: string): ReadonlyMap<string, string> | null => {
  const found = new Map<string, string>()
  const visit = (path: string, name: string): void => {
    const stat = lstatSync(path)
    // The index tells where the barriers were: no two fetches need to have them in the same places.
    if (name === "index") return
    const content = stat.isFile()
      ? createHash("sha256").update(readFileSync(path)).digest("hex")
      : stat.isSymbolicLink() ? readlinkSync(path) : ""
    const mtime = name === "" || !name.includes("/") ? "" : stat.mtimeMs
    found.set(name, `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${mtime} ${content}`)
    if (!stat.isDirectory()) return
    for (const child of readdirSync(path).toSorted()) visit(join(path, child), join(name, child))
  }
  try {
    visit(directory, "")
    return found
  } catch {
    return null
  }
}

export interface LinuxWorld extends CarrierWorld {
  readonly registry: EmbeddedRegistry
  readonly scratch: string
  readonly settings: CarrierSettings
  readonly putAs: (
    layerBytes: readonly number[],
    compression: Compression,
    dialect: "docker" | "oci",
  ) => Promise<WorldImage>
}

/** The real carrier, its real child, an embedded registry and a scratch directory. */
export async function linuxWorld(
  options: RegistryOptions & Partial<CarrierSettings> = {},
): Promise<LinuxWorld> {
  const registry = await EmbeddedRegistry.start(options)
  const scratch = mkdtempSync(join(tmpdir(), "be-child-"))
  const settings: CarrierSettings = {
    ...CARRIER_DEFAULTS,
    childEntry: [ENTRY],
    lockPath: join(scratch, "child.lock"),
    backoffBaseMs: 5,
    backoffMaxMs: 20,
    ...options,
  }
  const scope = await Effect.runPromise(Scope.make())
  const context = await Effect.runPromise(Layer.buildWithScope(bodyLinux(settings), scope))
  let made = 0
  const putAs: LinuxWorld["putAs"] = async (layerBytes, compression, dialect) => {
    const repository = `test/image-${++made}`
    const tars = await Promise.all(layerBytes.map(randomTar))
    const image = putImage(registry, {
      repository,
      tags: ["latest"],
      layers: tars.map((tar) => ({ tar, compression })),
      dialect,
    })
    return {
      repository,
      tag: "latest",
      digest: image.digest,
      imageId: image.imageId,
      layers: image.layers.map(({ diffId, digest, size, mediaType }, index) => ({
        diffId,
        source: {
          kind: "registry",
          host: registry.host,
          repository,
          digest,
          size,
          mediaType,
          urls: [],
        },
        tarBytes: tars[index]!.length,
      })),
    }
  }
  return {
    registry,
    scratch,
    settings,
    putAs,
    body: Layer.succeed(Carrier, Context.get(context, Carrier)),
    access: { host: registry.host, insecure: false, credentials: null },
    put: (layerBytes) => putAs(layerBytes, "gzip", "docker"),
    directory: () => join(scratch, `layer-${++made}`),
    tree: async (directory) => treeOf(directory),
    sent: () => registry.bytesSent(),
    cutAfter: (name, afterBytes, times) =>
      registry.inject({ on: "blob", name, times, misdeed: { do: "cut", afterBytes } }),
    stallAfter: (name, afterBytes) =>
      registry.inject({ on: "blob", name, times: 1, misdeed: { do: "stall", afterBytes } }),
    corrupt: (name, times) =>
      registry.inject({ on: "blob", name, times, misdeed: { do: "corrupt", at: 200_000 } }),
    remove: (name) =>
      registry.inject({
        on: "blob",
        name,
        misdeed: { do: "answer", status: 404, body: BLOB_UNKNOWN },
      }),
    heal: () => registry.heal(),
    kill: async () => {
      for (const pid of childPids()) process.kill(pid, "SIGKILL")
    },
    isOpen: async (directory) => openBelow(directory).length > 0,
    close: async () => {
      await Effect.runPromise(Scope.close(scope, Exit.void))
      await registry.close()
      rmSync(scratch, { recursive: true, force: true })
    },
  }
}

const BLOB_UNKNOWN = JSON.stringify({
  errors: [{ code: "BLOB_UNKNOWN", message: "blob unknown to registry" }],
})
