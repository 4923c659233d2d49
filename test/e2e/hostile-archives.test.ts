import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { images } from "../../simulations/bench/engines/docker.ts"
import { listing } from "../../simulations/checkers/tree.ts"
import { busyboxImage } from "../../simulations/images/busybox.ts"
import { EmbeddedRegistry } from "../../simulations/world/registry.ts"
import { MEDIA } from "../../src/oci/manifest.ts"
import { header, long, type Made, noise, padded, tarball } from "../layers/tarballs.ts"
import {
  archiveOf, json, layoutFiles, load, type Parts, partsOf, savedFiles, WAYS,
} from "./archives.ts"
import { type Corner, type Engine, openCorner, whyNoEngine } from "./engine.ts"
import { type Belongings, belongings, clearOut, expectIntact, furnish } from "./intact.ts"
import { errorIn, pull } from "./pulling.ts"

/** In the name of all that tries to get out. */
const ESCAPED = "be-escaped"
const UP = "../".repeat(16)
const TAG = "docker.io/library/hostile:1"

/** `outside` is a directory of this machine, with a file `secret` in it. */
type Layer = (outside: string) => readonly (Made | Buffer)[]

const OUT = /the layer's entry .* reaches outside of its root/
const NO_FILE = /the layer's whiteout .* means no file/
const NO_DIRECTORY = /the layer's entry .*: ENOENT/
const SHORT = /the layer's tar has an end in the middle of an entry/
const PASSWD = "root:x:0:0:root:/root:/bin/sh"
const file = (path: string): Made => ({ path, content: "inside\n" })
const symlink = (path: string, link: string): Made => ({ path, type: "2", link })
const hardlink = (path: string, link: string): Made => ({ path, type: "1", link })
const xattrs = (attributes: Record<string, string>) =>
  Object.fromEntries(Object.entries(attributes).map(([k, v]) => [`SCHILY.xattr.${k}`, v]))
const FORGED = xattrs({
  "trusted.overlay.opaque": "y", "trusted.overlay.redirect": "/etc",
  "trusted.overlay.overlay.opaque": "y", "trusted.overlay.origin": "x",
  "user.overlay.opaque": "y", "user.overlay.redirect": "/etc",
})
const META = xattrs({
  "trusted.overlay.metacopy": "", "trusted.overlay.redirect": "/etc/group",
  "user.overlay.metacopy": "", "user.overlay.redirect": "/etc/group",
})

/** What a hostile layer lies on, where no container is to run on it. */
const SMALL = tarball({ path: "etc/", type: "5", mode: 0o755 })

/** Layers that are refused, and why. */
const REFUSED: readonly (readonly [string, RegExp, Layer])[] = [
  ["a path that climbs", OUT, () => [file(`../${ESCAPED}`)]],
  ["a path that climbs far", OUT, () => [file(`a/${UP}tmp/${ESCAPED}`)]],
  ["a path that climbs from /", OUT, () => [file(`/../${ESCAPED}`)]],
  ["a long name that climbs", OUT, () => [long("L", `../${ESCAPED}`), file("a")]],
  ["a PAX path that climbs", OUT, () => [{ ...file("a"), pax: { path: `../${ESCAPED}` } }]],
  ["a file through a symlink to what is there", NO_DIRECTORY, (outside) => [
    symlink("s", outside), file(`s/${ESCAPED}`),
  ]],
  ["a file through a symlink into /proc", NO_DIRECTORY, () => [
    symlink("s", "/proc/self/root"), file(`s/${ESCAPED}`),
  ]],
  ["a hard link that climbs", OUT, (outside) => [hardlink("l", `${UP}${outside}/secret`)]],
  ["a hard link to an absolute path", /hard link|ENOENT/, (outside) => [
    hardlink("l", `${outside}/secret`),
  ]],
  ["a hard link through a symlink", /hard link|ENOENT/, (outside) => [
    symlink("s", outside), hardlink("l", "s/secret"),
  ]],
  ["its own root as a symlink", /the layer's root is no directory/, (outside) => [
    symlink(".", outside), file("secret"),
  ]],
  ["a whiteout of nothing", NO_FILE, () => [file(".wh.")]],
  ["a whiteout of a directory itself", NO_FILE, () => [file("etc/.wh..")]],
  ["a whiteout of a directory's parent", NO_FILE, () => [file("etc/.wh...")]],
  ["a whiteout that climbs", OUT, () => [file(`../.wh.${ESCAPED}`)]],
  ["a whiteout of all that is outside", OUT, () => [file("../.wh..wh..opq")]],
  ["whiteouts through a symlink", NO_DIRECTORY, (outside) => [
    symlink("s", outside), file("s/.wh.secret"), file("s/.wh..wh..opq"),
  ]],
  ["a name with a NUL", /a PAX path with a NUL in it/, () => [
    { ...file("a"), pax: { path: `a\0/../${ESCAPED}` } },
  ]],
  ["a name that is too long", /ENAMETOOLONG/, () => [
    { ...file("a"), pax: { path: "a".repeat(256) } },
  ]],
  ["a path that is too long", /a path that is too long/, () => [
    { ...file("a"), pax: { path: "a/".repeat(2500) } },
  ]],
  ["a type that nobody knows", /an entry of unknown type 'Z'/, () => [{ ...file("a"), type: "Z" }]],
  ["a size that is larger than the content", SHORT, () => [{ ...file("a"), size: 1 << 20 }]],
  ["a size that is smaller than the content", /the layer's tar has a checksum/, () => [
    { path: "a", content: "x".repeat(2000), size: 1 },
  ]],
  ["a negative size", /an entry of negative size/, () => [{ ...file("a"), size: -1 }]],
  ["a size that no disk has", /the layer's tar has a size that is too large/, () => [
    header({ path: "a", size: 2 ** 60 }), padded("x"),
  ]],
  ["a PAX size that is not the content's", SHORT, () => [
    { ...file("a"), pax: { size: "999999999" } },
  ]],
]

/** Layers that are taken: what a shell in a container on them all is asked, and its answer. */
const HARMLESS: readonly (readonly [string, Layer, string, string])[] = [
  ["an absolute path", () => [file(`/${ESCAPED}-1`)], `cat /${ESCAPED}-1`, "inside"],
  ["an absolute path to what is there", (outside) => [
    { path: `${outside}/secret`, content: "changed\n" },
  ], "cat /tmp/be-*/outside/secret", "changed"],
  ["a file through a symlink to /", () => [symlink("s1", "/"), file(`s1/${ESCAPED}-2`)],
    `cat /${ESCAPED}-2`, "inside"],
  ["a file through a symlink that climbs", () => [symlink("s2", UP), file(`s2/${ESCAPED}-3`)],
    `cat /${ESCAPED}-3`, "inside"],
  ["a file in place of a symlink to what is there", (outside) => [
    symlink(`${ESCAPED}-4`, `${outside}/secret`), file(`${ESCAPED}-4`),
  ], `cat /${ESCAPED}-4`, "inside"],
  ["a directory through a symlink, twice", () => [
    symlink("s3", ".."), { path: "s3/d", type: "5" }, symlink("s3/d/t", "../../.."),
    file(`s3/d/t/${ESCAPED}-5`),
  ], `cat /${ESCAPED}-5`, "inside"],
  ["a directory by a whiteout's name", () => [file(".wh.etc/passwd")],
    "cat /etc/passwd", PASSWD],
  ["AUFS's bookkeeping", () => [file(`.wh..wh.plnk/${ESCAPED}`), file(".wh..wh.aufs")],
    "ls -a / | grep wh..wh", ""],
  ["overlay attributes on a directory", () => [
    { path: "etc", type: "5", mode: 0o755, pax: FORGED },
  ], "cat /etc/group", "root:x:0:"],
  ["a forged redirect", () => [{ path: "red", type: "5", mode: 0o755, pax: FORGED }],
    "ls -A /red", ""],
  ["a forged metacopy", () => [{ path: "meta", content: "inside\n", pax: META }],
    "cat /meta", "inside"],
  ["a forged whiteout", () => [{ path: "etc/passwd", type: "3", major: 0, minor: 0 }],
    "cat /etc/passwd", PASSWD],
  ["the host's disk", () => [{ path: "disk", type: "4", major: 7, minor: 0, mode: 0o666 }],
    "head -c 1 /disk 2>&1", "head: /disk: Operation not permitted"],
  ["the host's memory", () => [{ path: "memory", type: "3", major: 1, minor: 1, mode: 0o666 }],
    "head -c 1 /memory 2>&1", "head: /memory: Operation not permitted"],
]

type Files = Record<string, Buffer>
/** Members of an archive as a client bends them, and what else it puts in. */
type Bend = (files: Files, outside: string) => readonly Made[] | void

const CLIMBS = /leads out of the archive/
const rewritten = (files: Files, name: string, change: (value: any) => unknown): void => {
  files[name] = json(change(JSON.parse(files[name]!.toString())))
}
const withManifest = (change: (one: any) => object): Bend => (files) =>
  rewritten(files, "manifest.json", ([one]) => [{ ...one, ...change(one) }])
const without = (...names: readonly string[]): Bend => (files) => {
  for (const name of names) delete files[name]
}
/** In place of a member of `docker save`'s archive. */
const instead = (name: string, made: (outside: string) => Made): Bend => (files, outside) => {
  delete files[name]
  return [made(outside)]
}

/** Archives of `docker save` that are refused, and why. */
const SAVED: readonly (readonly [string, RegExp, Bend])[] = [
  ["a config that climbs", CLIMBS, withManifest(() => ({ Config: `${UP}etc/passwd` }))],
  ["a config by an absolute path", /open \/etc\/passwd: no such file/, withManifest(() =>
    ({ Config: "/etc/passwd" }))],
  ["a layer that climbs", CLIMBS, withManifest(() => ({ Layers: ["../secret", "1/layer.tar"] }))],
  ["a member that climbs", CLIMBS, () => [file(`../${ESCAPED}`)]],
  ["a layer that is a symlink out", CLIMBS, instead("1/layer.tar", (outside) =>
    symlink("1/layer.tar", `${UP}${outside}/secret`))],
  ["a layer that is an absolute symlink", /no such file/, instead("1/layer.tar", (outside) =>
    symlink("1/layer.tar", `${outside}/secret`))],
  ["a layer that is a hard link out", CLIMBS, instead("1/layer.tar", (outside) =>
    hardlink("1/layer.tar", `${UP}${outside}/secret`))],
  ["a layer that is a directory", /no such file/, instead("1/layer.tar", () =>
    ({ path: "1/layer.tar", type: "5" }))],
  ["a layer that is a device", /no such file/, instead("1/layer.tar", () =>
    ({ path: "1/layer.tar", type: "3", major: 1, minor: 5 }))],
  ["a manifest that is a symlink out", CLIMBS, instead("manifest.json", (outside) =>
    symlink("manifest.json", `${UP}${outside}/manifest.json`))],
  ["a missing layer", /open 1\/layer.tar: no such file/, without("1/layer.tar")],
  ["a missing config", /open config.json: no such file/, without("config.json")],
  ["a config that is no JSON", /invalid image configuration: not JSON/, (files) => {
    files["config.json"] = Buffer.from("{broken")
  }],
  ["a config that says nothing", /invalid image config/, (files) => {
    files["config.json"] = json([])
  }],
  ["a config of fewer layers", /layers length mismatch: expected 1, got 2|expected/, (files) =>
    rewritten(files, "config.json", (config) =>
      ({ ...config, rootfs: { type: "layers", diff_ids: [config.rootfs.diff_ids[0]] } }))],
  ["another layer than the config says", /the layer's tar is sha256:\w+, not sha256:/, (files) => {
    files["1/layer.tar"] = tarball(file("other"))
  }],
  ["a diff ID that climbs", /diff|digest/, (files) =>
    rewritten(files, "config.json", (config) =>
      ({ ...config, rootfs: { type: "layers", diff_ids: ["sha256:../../x", "../../y"] } }))],
  ["a manifest that is no JSON", /invalid manifest.json/, (files) => {
    files["manifest.json"] = Buffer.from("[{")
  }],
  ["a manifest that is no list", /invalid manifest.json/, (files) => {
    files["manifest.json"] = json({})
  }],
  ["a tag that climbs", /invalid tag "..\/..\/x:1"/, withManifest(() =>
    ({ RepoTags: ["../../x:1"] }))],
]

const digestsOf = (from: string, to: string): Bend => (files) => {
  for (const name of Object.keys(files)) {
    if (files[name]!.length > 4096) continue // a layer
    files[name] = Buffer.from(files[name]!.toString().replaceAll(from, to))
  }
}
const blobsOf = (files: Files) => Object.keys(files).filter((name) => name.startsWith("blobs/"))

/** OCI layouts that are refused, and why. */
const LAYOUTS: readonly (readonly [string, RegExp, Bend])[] = [
  ["an index whose digest climbs", /digest/, (files) =>
    rewritten(files, "index.json", ({ manifests: [one], ...rest }) =>
      ({ ...rest, manifests: [{ ...one, digest: "sha256:../../../secret" }] }))],
  ["an index whose algorithm climbs", /digest/, digestsOf("sha256:", "../../sha256:")],
  ["blobs that are symlinks out", CLIMBS, (files, outside) => {
    const [blob] = blobsOf(files)
    delete files[blob!]
    return [symlink(blob!, `${UP}${outside}/secret`)]
  }],
  ["a blob that is another", /has the digest|bytes instead of/, (files) => {
    files[blobsOf(files).at(-1)!] = json({})
  }],
  ["a missing blob", /no such file/, (files) => without(blobsOf(files)[0]!)(files, "")],
  ["an index that is no JSON", /not JSON/, (files) => {
    files["index.json"] = Buffer.from("{")
  }],
  ["an index without a layout", /open oci-layout: no such file/, without("oci-layout")],
]

/** What is no archive at all, or not all of one. */
const BROKEN: readonly (readonly [string, RegExp, (archive: Buffer) => Buffer])[] = [
  ["nothing", /does not contain a manifest.json|EOF/, () => Buffer.alloc(0)],
  ["noise", /invalid tar header/, () => noise(4096)],
  ["half of it", /unexpected EOF/, (archive) => archive.subarray(0, archive.length >> 1)],
  ["half of its gzip", /unexpected EOF/, (archive) => {
    const packed = gzipSync(archive, { level: 1 })
    return packed.subarray(0, packed.length >> 1)
  }],
]

describe.skipIf(whyNoEngine() !== null)("what is hostile in", () => {
  let corner: Corner
  let engine: Engine
  let before: Belongings
  let registry: EmbeddedRegistry
  let base: Buffer
  let outside: string
  let canary: Readonly<Record<string, string>>

  beforeAll(async () => {
    corner = await openCorner()
    outside = join(corner.root, "outside")
    mkdirSync(outside)
    writeFileSync(join(outside, "secret"), "secret")
    writeFileSync(join(outside, "manifest.json"), "[]")
    canary = listing(outside)
    engine = await corner.start({ name: "hostile" })
    await furnish(engine)
    before = await belongings(engine)
    registry = await EmbeddedRegistry.start()
    base = readFileSync((await busyboxImage("none")).layers[0]!.path)
  })
  afterAll(async () => {
    await expectIntact(corner, before)
    await clearOut(engine)
    expect(await engine.stop()).toBe(0)
    await registry.close()
    await corner[Symbol.asyncDispose]()
  })

  /** No image is new, and nothing is where it must not be. */
  const expectContained = async (): Promise<void> => {
    expect((await images(engine.place.socket)).map(({ Id }) => Id)).toEqual(before.images)
    expect(listing(outside)).toEqual(canary)
    for (let place = engine.place.dataRoot; place !== "/"; place = dirname(place)) {
      expect(readdirSync(place)).not.toContain(ESCAPED)
    }
    for (const place of ["/", "/tmp"]) expect(readdirSync(place)).not.toContain(ESCAPED)
    expect(readdirSync(join(engine.place.dataRoot, "tmp"))).toEqual([])
  }

  describe.each(WAYS)("%s:", (_, way) => {
    test.each(REFUSED)("%s", async (_, words, layer) => {
      const tars = [SMALL, tarball(...layer(outside))]
      expect(await way(engine, registry, partsOf(TAG, tars))).toMatch(words)
      await expectContained()
    })

    test.each([
      ["above", (tars: readonly Buffer[]) => [base, ...tars]],
      ["below", (tars: readonly Buffer[]) => [...tars, base]],
    ])("what is cleaned, %s its image's base", async (_, stacked) => {
      const tars = HARMLESS.map(([, layer]) => tarball(...layer(outside)))
      expect(await way(engine, registry, partsOf(TAG, stacked(tars)))).toBeNull()
      const script = HARMLESS.map(([, , asks]) => `${asks}; echo --`).join("\n")
      const sh = ["run", "--rm", "--network", "none", "hostile:1", "sh", "-c", script]
      const said = (await engine.docker(sh)).stdout.split("--\n").map((one) => one.trim())
      const names = HARMLESS.map(([name]) => name)
      expect(Object.fromEntries(names.map((name, n) => [name, said[n]])))
        .toEqual(Object.fromEntries(HARMLESS.map(([name, , , answer]) => [name, answer])))
      await engine.done(["rmi", "hostile:1"])
      await expectContained()
    })
  })

  const bent = (files: (parts: Parts) => Files, bend: Bend): Buffer => {
    const members = files(partsOf(TAG, [SMALL, tarball(file("a"))]))
    return archiveOf(members, ...(bend(members, outside) ?? []))
  }
  const refused = async (archive: Buffer, words: RegExp): Promise<void> => {
    expect(await load(engine, archive)).toMatch(words)
    await expectContained()
  }
  test.each(SAVED)("docker save's archive: %s", (_, words, bend) =>
    refused(bent(savedFiles, bend), words))
  test.each(LAYOUTS)("an OCI layout: %s", (_, words, bend) =>
    refused(bent(layoutFiles, bend), words))
  test.each(BROKEN)("an archive: %s", (_, words, broken) =>
    refused(broken(bent(savedFiles, () => {})), words))

  test("an archive that says the same as the bent ones, and is not", async () => {
    for (const files of [savedFiles, layoutFiles]) {
      expect(await load(engine, bent(files, () => {}))).toBeNull()
      await engine.done(["rmi", "hostile:1"])
      await expectContained()
    }
  })

  test.each(["config", "layers"])("a registry: digests that climb, of its %s", async (what) => {
    const descriptor = (size: number) => ({ digest: `sha256:${UP}etc/passwd`, size })
    const good = { digest: registry.addBlob(SMALL), size: SMALL.length }
    const manifest = json({
      schemaVersion: 2,
      mediaType: MEDIA.dockerManifest,
      config: { mediaType: MEDIA.dockerConfig, ...(what === "config" ? descriptor(2) : good) },
      layers: [{ mediaType: MEDIA.dockerLayer, ...descriptor(2) }],
    })
    registry.addManifest("hostile", MEDIA.dockerManifest, manifest, "climbs")
    expect(errorIn(await pull(engine, `${registry.host}/hostile:climbs`))).toMatch(/digest/)
    await expectContained()
  })
})
