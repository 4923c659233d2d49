import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { ensureSpace } from "../../src/layers/barrier.ts"
import { PullFault } from "../../src/layers/carrier.ts"
import { digestOf, extract, noise, tarball } from "./tarballs.ts"
import { attributesOf, cachedPages, listing } from "../../simulations/checkers/tree.ts"

let root = ""
let made = 0
const fresh = (): string => join(root, String(made++))
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-extract-"))
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

type Options = NonNullable<Parameters<typeof extract>[2]>

/** Extracts a tar; answers where its files are. */
const extracted = (tar: Buffer, options: Options = {}): string => {
  const directory = fresh()
  extract(directory, tar, options)
  return join(directory, "diff")
}
const text = (...path: string[]): string => fs.readFileSync(join(...path), "utf8")

/** A tree with one of everything. */
function plant(tree: string): void {
  fs.mkdirSync(join(tree, "deep/er/est"), { recursive: true })
  fs.mkdirSync(join(tree, "private"), { mode: 0o700 })
  fs.mkdirSync(join(tree, "sticky"))
  fs.chmodSync(join(tree, "sticky"), 0o3777)
  for (let n = 0; n < 40; n++) {
    const path = join(tree, n % 2 === 0 ? "deep/er" : "sticky", `file-${n}`)
    fs.writeFileSync(path, noise(n * n * 40, n))
    fs.chownSync(path, n, 1000 + n)
    fs.utimesSync(path, 1_000_000_000 + n, 1_000_000_000 + n / 7)
  }
  fs.writeFileSync(join(tree, "large"), noise(9_000_000))
  fs.writeFileSync(join(tree, "setuid"), "#!", { mode: 0o755 })
  fs.chmodSync(join(tree, "setuid"), 0o6755)
  fs.writeFileSync(join(tree, "capable"), "#!", { mode: 0o755 })
  execFileSync("/usr/sbin/setcap", ["cap_net_bind_service+ep", join(tree, "capable")])
  fs.symlinkSync("deep/er/file-2", join(tree, "link"))
  fs.lchownSync(join(tree, "link"), 5, 6)
  fs.symlinkSync("/etc/passwd", join(tree, "absolute"))
  fs.linkSync(join(tree, "deep/er/file-8"), join(tree, "zz-hard"))
  execFileSync("mknod", [join(tree, "null"), "c", "1", "3"])
  execFileSync("mknod", ["-m", "640", join(tree, "disk"), "b", "259", "300"])
  execFileSync("mkfifo", [join(tree, "fifo")])
  const sparse = fs.openSync(join(tree, "sparse"), "w")
  fs.writeSync(sparse, "here", 3 << 20)
  fs.ftruncateSync(sparse, 20 << 20)
  fs.closeSync(sparse)
  fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x80])]), "bytes")
  fs.mkdirSync(join(tree, "n".repeat(120), "m".repeat(130)), { recursive: true })
  fs.writeFileSync(join(tree, "n".repeat(120), "m".repeat(130), "o".repeat(200)), "long")
}

const unprivileged = process.getuid?.() !== 0

describe.skipIf(unprivileged)("a layer", () => {
  const packings: Readonly<Record<string, (tar: Buffer) => Buffer>> = {
    "not at all": (tar) => tar,
    "by gzip -1": (tar) => gzipSync(tar, { level: 1 }),
    "by gzip -9": (tar) => gzipSync(tar, { level: 9 }),
    "by zstd": (tar) => zstdCompressSync(tar),
  }
  for (const format of [["--format=gnu", "-S"], ["--format=pax", "-S"], ["--format=posix"]]) {
    test(`is what tar -x makes of it, however packed: ${format.join(" ")}`, () => {
      const [tree, reference] = [fresh(), fresh()]
      for (const directory of [tree, reference]) fs.mkdirSync(directory)
      plant(tree)
      const file = fresh()
      const attributes = ["--xattrs", "--xattrs-include=*", "--numeric-owner"]
      execFileSync("tar", [...format, ...attributes, "-cf", file, "-C", tree, "."])
      execFileSync("tar", [...attributes, "-xpf", file, "-C", reference])
      const tar = fs.readFileSync(file)
      for (const [how, pack] of Object.entries(packings)) {
        const blob = pack(tar)
        const directory = fresh()
        const { bytes, tarBytes, entries } = extract(directory, blob,
          { tar, step: 70_000, blob: { digest: digestOf(blob), size: blob.length } })
        const got = listing(join(directory, "diff"))
        expect({ how, ...got }).toEqual({ how, ...listing(reference), "": got[""] })
        expect(tarBytes).toBe(tar.length)
        expect(entries).toBe(tar.length > 0 ? Object.keys(listing(tree)).length : 0)
        expect(bytes).toBeGreaterThan(29 << 20)
        expect(fs.readdirSync(join(directory, "shadow"))).toEqual([])
        const { blocks } = fs.statSync(join(directory, "diff/sparse"))
        if (format.includes("-S")) expect(blocks).toBeLessThan(100)
      }
    })
  }

  test("keeps the holes of its sparse files", () => {
    const tar = tarball({
      path: "f", content: "end",
      pax: { "GNU.sparse.size": "50000000", "GNU.sparse.map": "49000000,3" },
    })
    const diff = extracted(tar)
    const stat = fs.statSync(join(diff, "f"))
    expect(stat.size).toBe(50_000_000)
    expect(stat.blocks).toBeLessThan(30)
    expect(fs.readFileSync(join(diff, "f")).toString("latin1", 49_000_000, 49_000_003)).toBe("end")
  })

  test("has capabilities, owners and setuid bits that survive one another", () => {
    const capability = Buffer.from("0100000200040000000000000000000000000000", "hex")
    const diff = extracted(tarball({
      path: "f", mode: 0o4711, uid: 7, gid: 8, content: "x",
      pax: { "SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.empty": "" },
    }))
    const stat = fs.statSync(join(diff, "f"))
    expect([stat.mode & 0o7777, stat.uid, stat.gid]).toEqual([0o4711, 7, 8])
    expect(attributesOf(join(diff, "f")).filter((name) => /^(security.cap|user)/.test(name)))
      .toEqual([`security.capability=${capability.toString("hex")}`, "user.empty="])
  })

  test("gets the directories its entries are in, where it does not bring them", () => {
    const diff = extracted(tarball({ path: "a/b/c" }, { path: "a/b/d/e", content: "y" }))
    expect(text(diff, "a/b/d/e")).toBe("y")
    const { mode, uid, gid } = fs.statSync(join(diff, "a/b"))
    expect([mode & 0o7777, uid, gid]).toEqual([0o755, 0, 0])
  })

  test("gives them no group or mode of a setgid parent", () => {
    const diff = extracted(tarball(
      { path: "a/", type: "5", mode: 0o2775, gid: 50 },
      { path: "a/b/c" }, { path: "a/d", type: "5" }))
    for (const name of ["a/b", "a/b/c", "a/d"]) expect(fs.statSync(join(diff, name)).gid).toBe(0)
    expect(fs.statSync(join(diff, "a/b")).mode & 0o7777).toBe(0o755)
    expect(fs.statSync(join(diff, "a")).mode & 0o7777).toBe(0o2775)
  })

  test("sets a directory's time after all that is made in it, also where it comes last", () => {
    const diff = extracted(tarball(
      { path: "d", type: "5", mtime: 1000 }, { path: "d/f" }, { path: "d/e/f" },
      { path: "d/e", type: "5", mtime: 2000 }, { path: "d/x/y" }))
    expect(fs.statSync(join(diff, "d")).mtimeMs).toBe(1_000_000)
    expect(fs.statSync(join(diff, "d/e")).mtimeMs).toBe(2_000_000)
  })

  test("leaves the root's metadata alone", () => {
    const diff = extracted(tarball({ path: "./", type: "5", mode: 0o700, uid: 5 }, { path: "./f" }))
    expect(fs.statSync(diff).mode & 0o7777).toBe(0o755)
    expect(fs.statSync(diff).uid).toBe(0)
  })

  test("may replace its own entries, and merges its directories", () => {
    const directory = fresh()
    const tar = tarball(
      { path: "f", content: "one" }, { path: "l", type: "1", link: "f" },
      { path: "f", content: "two" },
      { path: "d", type: "5", mode: 0o700 }, { path: "d/kept", content: "k" },
      { path: "d", type: "5", mode: 0o750 },
      { path: "was-dir/x", content: "x" }, { path: "was-dir", type: "2", link: "d" },
      { path: "was-dir/through", content: "t" },
      { path: "f", type: "5" }, { path: "f/g", content: "g" })
    extract(directory, tar)
    const diff = join(directory, "diff")
    expect(text(diff, "l")).toBe("one")
    expect(text(diff, "f/g")).toBe("g")
    expect(text(diff, "d/kept") + text(diff, "d/through")).toBe("kt")
    expect(fs.statSync(join(diff, "d")).mode & 0o7777).toBe(0o750)
    const shadow = join(directory, "shadow")
    expect(fs.readdirSync(shadow).toSorted()).toEqual(["2", "2.path", "7", "7.path", "9", "9.path"])
    expect(text(shadow, "2") + text(shadow, "7/x") + text(shadow, "9")).toBe("onextwo")
    expect(fs.readlinkSync(join(shadow, "7.path"))).toBe("was-dir")
  })

  const whiteouts = tarball(
    { path: "d", type: "5" }, { path: "d/.wh.gone" }, { path: ".wh.top", content: "ignored" },
    { path: "o/.wh..wh..opq" }, { path: "o/new", content: "n" },
    { path: ".wh..wh.plnk/5.7", content: "aufs" })

  test("hides what is below it by devices and opaque directories", () => {
    const diff = extracted(whiteouts)
    for (const name of ["d/gone", "top"]) {
      const stat = fs.lstatSync(join(diff, name))
      expect(stat.isCharacterDevice() && stat.rdev === 0).toBe(true)
    }
    expect(attributesOf(join(diff, "o"))).toContain("trusted.overlay.opaque=79")
    expect(text(diff, "o/new")).toBe("n")
    expect(fs.readdirSync(diff).toSorted()).toEqual(["d", "o", "top"])
  })

  test("hides nothing where nothing is below it", () => {
    const diff = extracted(whiteouts, { bottom: true })
    expect(fs.readdirSync(diff).toSorted()).toEqual(["d", "o"])
    expect(fs.readdirSync(join(diff, "d"))).toEqual([])
    expect(attributesOf(join(diff, "o")).filter((name) => name.startsWith("trusted"))).toEqual([])
  })

  test("may be empty", () => {
    expect(fs.readdirSync(extracted(tarball()))).toEqual([])
    expect(fs.readdirSync(extracted(Buffer.alloc(0)))).toEqual([])
    const tar = tarball()
    expect(fs.readdirSync(extracted(gzipSync(tar), { tar, step: 1 }))).toEqual([])
  })

  test("is extracted anew over anything that is there", () => {
    const directory = fresh()
    extract(directory, tarball({ path: "old/f" }, { path: "old/f", content: "again" }))
    extract(directory, tarball({ path: "new" }))
    expect(fs.readdirSync(join(directory, "diff"))).toEqual(["new"])
    expect(fs.readdirSync(join(directory, "shadow"))).toEqual([])
  })

  test("leaves no descriptor open and nothing of its files in the page cache", () => {
    const before = fs.readdirSync("/proc/self/fd").length
    const many = Array.from({ length: 300 }, (_, n) =>
      ({ path: `${n % 50}/${n}`, content: noise(n * 100, n % 256) }))
    const diff = extracted(tarball(...many, { path: "large", content: noise(7_000_000) }))
    const files = ["large", ...many.map(({ path }) => path)]
    expect(cachedPages(import.meta.filename)).toBeGreaterThan(0)
    expect(files.reduce((sum, file) => sum + cachedPages(join(diff, file)), 0)).toBe(0)
    expect(() => extracted(tarball(...many).subarray(0, -50_000))).toThrow(PullFault)
    expect(fs.readdirSync("/proc/self/fd").length).toBe(before)
  })
})

describe.skipIf(unprivileged)("a bad layer", () => {
  const tar = tarball({ path: "f", content: noise(200_000) })
  const blob = gzipSync(tar)
  const named = { digest: digestOf(blob), size: blob.length }
  const changed = Buffer.from(blob)
  changed[100_000]! ^= 255
  const refusals: Readonly<Record<string, readonly [Buffer, Options, string]>> = {
    "it has another diff ID": [blob, { tar: noise(5), blob: named }, "digestMismatch"],
    "it has another digest":
      [blob, { tar, blob: { ...named, digest: digestOf(tar) } }, "digestMismatch"],
    "it has another length": [blob, { tar, blob: { ...named, size: 7 } }, "damaged"],
    "it is cut": [blob.subarray(0, -500), { tar, blob: named }, "damaged"],
    "it is changed": [changed, { tar, blob: named }, "damaged"],
    "its tar is cut": [gzipSync(tar.subarray(0, 100_000)), { tar }, "damaged"],
    "it is no tar": [noise(5000), {}, "damaged"],
    "it is packed by xz": [Buffer.from("fd377a585a000004e6d6b446", "hex"), {}, "unsupported"],
    "it has a hard link to nothing": [tarball({ path: "l", type: "1", link: "f" }), {}, "damaged"],
    "it has a hard link to a directory":
      [tarball({ path: "d", type: "5" }, { path: "l", type: "1", link: "d" }), {}, "damaged"],
    "it has a file for a directory":
      [tarball({ path: "f" }, { path: "f/g" }), {}, "damaged"],
    "it has a name that is too long":
      [tarball({ path: "f", pax: { path: "n".repeat(300) } }), {}, "damaged"],
    "it has a path that is too long":
      [tarball({ path: "f", pax: { path: "n/".repeat(3000) } }), {}, "damaged"],
    "it has a file beyond every file system": [tarball({
      path: "f", content: "x",
      pax: { "GNU.sparse.size": "9007199254740991", "GNU.sparse.map": "0,1" },
    }), {}, "damaged"],
  }
  for (const [what, [bytes, options, reason]] of Object.entries(refusals)) {
    test(`is refused: ${what}`, () => {
      expect(() => extracted(bytes, options)).toThrow(
        expect.objectContaining({ _tag: "PullFault", reason }))
    })
  }

  test("is refused with the name of its entry, and why", () => {
    expect(() => extracted(tarball({ path: "etc" }, { path: "etc/passwd" }))).toThrow(
      expect.objectContaining({ cause: expect.stringMatching(/etc\/passwd.*ENOTDIR/) as string }))
  })
})

describe.skipIf(unprivileged)("a full disk", () => {
  let mount = ""
  beforeAll(() => {
    const image = join(root, "disk.img")
    execFileSync("truncate", ["-s", "48M", image])
    execFileSync("mkfs.ext4", ["-q", "-N", "200", image])
    mount = join(root, "disk")
    fs.mkdirSync(mount)
    execFileSync("mount", ["-o", "loop", image, mount])
  })
  afterAll(() => execFileSync("umount", [mount]))

  const full = expect.objectContaining({ _tag: "PullFault", reason: "noSpace" }) as object

  test("ends an extraction before the reserve is gone", () => {
    const tar = tarball({ path: "f", content: noise(13 << 20) })
    expect(() => extract(join(mount, "a"), tar)).toThrow(full)
    fs.rmSync(join(mount, "a"), { recursive: true })
    expect(() => ensureSpace(mount)).not.toThrow()
  })

  test("ends it, too, where only inodes are gone", () => {
    const tar = tarball(...Array.from({ length: 300 }, (_, n) => ({ path: `${n}` })))
    expect(() => extract(join(mount, "b"), tar)).toThrow(full)
    fs.rmSync(join(mount, "b"), { recursive: true })
  })

  test("ends it when the last byte is written", () => {
    const tar = tarball({ path: "f", content: noise(50 << 20) })
    expect(() => extract(join(mount, "c"), tar)).toThrow(full)
    fs.rmSync(join(mount, "c"), { recursive: true })
  })
})
