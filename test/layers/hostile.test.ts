import fc from "fast-check"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { extract, long, tarball } from "./tarballs.ts"
import type { Made } from "./tarballs.ts"
import { attributesOf, listing } from "../../simulations/checkers/tree.ts"

let root = ""
let made = 0
beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "be-hostile-"))
  fs.mkdirSync(join(root, "outside"))
  fs.writeFileSync(join(root, "outside/secret"), "secret")
})
afterAll(() => fs.rmSync(root, { recursive: true, force: true }))

/** Extracts; whatever comes of it, nothing outside of the layer may have changed. */
function attack(...parts: (Made | Buffer)[]): string {
  const before = listing(join(root, "outside"))
  const directory = join(root, `layer-${made++}`)
  try {
    extract(directory, tarball(...parts))
    return join(directory, "diff")
  } finally {
    expect(listing(join(root, "outside"))).toEqual(before)
    expect(fs.readdirSync(directory).toSorted()).toEqual(["diff", "index", "shadow"])
  }
}
const refused = (reason: string, ...parts: (Made | Buffer)[]) =>
  expect(() => attack(...parts)).toThrow(expect.objectContaining({ _tag: "PullFault", reason }))

describe.skipIf(process.getuid?.() !== 0)("a hostile layer", () => {
  test("does not climb out of its root", () => {
    for (const path of ["../x", "a/../../x", "/../x", "./../x", "../outside/secret", ".."]) {
      refused("hostile", { path, content: "x" })
      refused("hostile", { path, type: "5" })
      refused("hostile", { path: "ok", pax: { path } })
      refused("hostile", long("L", path), { path: "ok" })
      refused("hostile", { path, type: "2", link: "x" })
    }
    refused("hostile", { path: "../.wh.x" })
    refused("hostile", { path: "../.wh..wh..opq" })
  })

  test("has no whiteouts that mean a directory's own names", () => {
    for (const path of [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh...", "a/.wh."]) {
      refused("hostile", { path: "a/f" }, { path })
    }
  })

  test("does not link to what is outside", () => {
    for (const link of ["../outside/secret", "a/../../outside/secret", "/../../outside/secret"]) {
      refused("hostile", { path: "l", type: "1", link })
    }
    // Absolute is relative: and there is none below the root.
    refused("damaged", { path: "l", type: "1", link: "/etc/passwd" })
    refused("damaged", { path: "l", type: "1", link: join(root, "outside/secret") })
    refused("damaged", { path: "s", type: "2", link: join(root, "outside") },
      { path: "l", type: "1", link: "s/secret" })
    refused("damaged", { path: "l", type: "1", link: "" })
  })

  test("has its absolute paths taken as relative, and its inner .. resolved", () => {
    const diff = attack({ path: "/etc/passwd", content: "own" }, { path: "a/./b//../c" })
    expect(fs.readFileSync(join(diff, "etc/passwd"), "utf8")).toBe("own")
    expect(fs.readdirSync(join(diff, "a"))).toEqual(["c"])
  })

  test("writes through no symlink that leads out", () => {
    for (const link of [join(root, "outside"), "../../outside", "..", "/", "/proc/self/root"]) {
      const inside = { path: "s", type: "2", link }
      for (const next of [
        { path: "s/secret", content: "changed" }, { path: "s/outside/secret", content: "changed" },
        { path: "s/d/", type: "5" }, { path: "s/.wh.secret" }, { path: "s/.wh..wh..opq" },
        { path: "s/secret", type: "2", link: "x" }, { path: "s/secret", type: "3", major: 1 },
      ]) {
        try {
          attack(inside, next)
        } catch (error) {
          expect(error).toMatchObject({ _tag: "PullFault", reason: "damaged" })
        }
      }
    }
  })

  test("has its symlinks followed as if its root were the root", () => {
    const diff = attack(
      { path: "usr/lib", type: "5" }, { path: "lib", type: "2", link: "/usr/lib" },
      { path: "up", type: "2", link: "../../../../usr" }, { path: "lib/a", content: "a" },
      { path: "up/lib/b", content: "b" }, { path: "up/new/c", content: "c" })
    expect(fs.readdirSync(join(diff, "usr/lib")).toSorted()).toEqual(["a", "b"])
    expect(fs.readFileSync(join(diff, "usr/new/c"), "utf8")).toBe("c")
  })

  test("replaces a symlink by an entry of its name, not what it leads to", () => {
    for (const link of [join(root, "outside/secret"), "../../outside/secret", "target"]) {
      for (const next of [
        { path: "s", content: "own", mode: 0o777, uid: 9 }, { path: "s", type: "5", mode: 0o777 },
        { path: "s", type: "1", link: "target" }, { path: "s", type: "6", mode: 0o777 },
      ]) {
        const diff = attack({ path: "target", content: "t" }, { path: "s", type: "2", link }, next)
        expect(fs.lstatSync(join(diff, "s")).isSymbolicLink()).toBe(false)
        expect(fs.readFileSync(join(diff, "target"), "utf8")).toBe("t")
      }
    }
  })

  test("may lead itself in circles", () => {
    refused("damaged", { path: "a", type: "2", link: "b" }, { path: "b", type: "2", link: "a" },
      { path: "a/f" })
    refused("damaged", { path: "a", type: "2", link: "a" }, { path: "a/f" })
    refused("damaged", { path: "a", type: "2", link: "missing" }, { path: "a/f" })
    refused("damaged", { path: "f", content: "x" }, { path: "f", type: "1", link: "f" })
  })

  test("grows no longer paths by symlinks than there may be", () => {
    const deep = (name: string) => Array.from({ length: 15 }, () => name.repeat(200)).join("/")
    refused("damaged",
      { path: "x", type: "5", pax: { path: deep("a") } },
      { path: "l", type: "2", pax: { path: "l", linkpath: deep("a") } },
      { path: "x", type: "5", pax: { path: `l/${deep("b")}` } })
  })

  test("does not replace its own root", () => {
    refused("damaged", { path: "./", content: "x", type: "2", link: join(root, "outside") })
    refused("damaged", { path: ".", content: "x" })
    refused("damaged", { path: "a/..", type: "1", link: "x" })
  })

  test("forges nothing that overlayfs believes in", () => {
    const diff = attack(
      {
        path: "d", type: "5", pax: {
          "SCHILY.xattr.trusted.overlay.redirect": "/etc",
          "SCHILY.xattr.trusted.overlay.opaque": "y",
          "SCHILY.xattr.trusted.overlay.overlay.opaque": "y",
          "SCHILY.xattr.user.overlay.opaque": "y",
          "SCHILY.xattr.trusted.other": "kept",
        },
      },
      {
        path: "f", pax: { "SCHILY.xattr.trusted.overlay.metacopy": "", "SCHILY.xattr.user.k": "v" },
      },
      { path: "device", type: "3", major: 0, minor: 0, mode: 0o666 })
    const attributes = (name: string) =>
      attributesOf(join(diff, name)).filter((attribute) => /^(trusted|user)/.test(attribute))
    expect(attributes("d")).toEqual([`trusted.other=${Buffer.from("kept").toString("hex")}`])
    expect(attributes("f")).toEqual(["user.k=76"])
    expect(fs.readdirSync(diff).toSorted()).toEqual(["d", "f"])
  })

  test("has names that are no names taken as bytes", () => {
    const names = ["\n", "\x01", " ", "-rf", "a\\b", "%s", "\xff\xfe", "CON", "con.", "...", "~"]
    const diff = attack(...names.map((path) => ({ path, content: path })))
    expect(fs.readdirSync(diff, { encoding: "latin1" }).toSorted()).toEqual(names.toSorted())
  })

  const step = fc.constantFrom("a", "b", "s", "..", ".", "", "/", "outside", "secret", ".wh.a")
  const path = fc.array(step, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/"))
  const anything = fc.record({
    path, link: path, type: fc.constantFrom("0", "1", "2", "2", "3", "5", "6"),
    content: fc.constantFrom("", "content"), mode: fc.constantFrom(0o777, 0o4000, 0),
    uid: fc.nat(5),
  })

  test("changes nothing outside of its root, whatever it is made of", () => {
    fc.assert(fc.property(fc.array(anything, { maxLength: 12 }), (entries) => {
      const parts = entries.map(({ content, ...entry }) =>
        entry.type === "0" ? { ...entry, content } : entry)
      try {
        attack(...parts)
      } catch (error) {
        expect(error).toMatchObject({
          _tag: "PullFault", reason: expect.stringMatching(/^(hostile|damaged)$/) as string,
        })
      } finally {
        fs.rmSync(join(root, `layer-${made - 1}`), { recursive: true, force: true })
      }
    }), { numRuns: 400 })
  })
})
