import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { TarError, TarReader } from "../../src/layers/tar.ts"
import type { TarEntry, TarState } from "../../src/layers/tar.ts"
import { entry, header, long, noise, padded, pax, summed, tarball } from "./tarballs.ts"
import type { Made } from "./tarballs.ts"

interface Read {
  readonly entry: TarEntry
  /** The file's content, holes filled with zeros. */
  content: Buffer
}

/** Reads a tar in pieces; at each, the state goes through JSON into a new reader. */
function read(bytes: Buffer, cuts: readonly number[] = []) {
  const entries: Read[] = []
  const stored: Buffer[] = []
  const sink = {
    raw: (raw: Buffer) => void stored.push(Buffer.from(raw)),
    entry: (entry: TarEntry) => void entries.push({ entry, content: Buffer.alloc(entry.size) }),
    content: (from: Buffer, start: number, end: number, offset: number) => {
      stored.push(Buffer.from(from.subarray(start, end)))
      from.copy(entries.at(-1)!.content, offset, start, end)
    },
    end: () => {},
  }
  let reader = new TarReader(sink)
  let at = 0
  for (const cut of [...cuts, bytes.length]) {
    reader.write(bytes, at, cut)
    at = cut
    reader = new TarReader(sink, JSON.parse(JSON.stringify(reader.state())) as TarState)
  }
  reader.end()
  expect(Buffer.concat(stored).equals(bytes)).toBe(true)
  expect(reader.position).toBe(bytes.length)
  return entries
}

const only = (...parts: (Made | Buffer)[]) => read(tarball(...parts))[0]!.entry

const sparse = Buffer.concat([Buffer.alloc(1000, 1), Buffer.alloc(5), Buffer.alloc(24, 2)])
const sparseWhole = Buffer.concat([
  Buffer.alloc(3000), Buffer.alloc(1000, 1), Buffer.alloc(996), Buffer.alloc(5), Buffer.alloc(4999),
  Buffer.alloc(24, 2), Buffer.alloc(976),
])
const MAP = [[3000, 1000], [4996, 5], [10_000, 24]] as const
const SPARSE = { "GNU.sparse.realsize": "11000", "GNU.sparse.size": "11000" }

/** The one sparse file in each of the five ways in which tars keep such. */
const sparseTars: Readonly<Record<string, Buffer>> = {
  "0.0": tarball(
    pax([
      ["GNU.sparse.size", "11000"], ["GNU.sparse.numblocks", "3"],
      ...MAP.flatMap(([offset, length]) => [
        ["GNU.sparse.offset", String(offset)] as const,
        ["GNU.sparse.numbytes", String(length)] as const,
      ]),
    ]),
    header({ path: "f", content: sparse }), padded(sparse)),
  "0.1": tarball({
    path: "GNUSparseFile.1/f", content: sparse,
    pax: { ...SPARSE, "GNU.sparse.map": MAP.flat().join(","), "GNU.sparse.name": "f" },
  }),
  "1.0": (() => {
    const map = padded(`${[MAP.length, ...MAP.flat()].join("\n")}\n`)
    return tarball({
      path: "GNUSparseFile.1/f", content: Buffer.concat([map, sparse]), pax: {
        ...SPARSE, "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f",
      },
    })
  })(),
  "1.0 with a long map": (() => {
    // Empty stretches are allowed, and make the map longer than a block.
    const many = [...Array.from({ length: 200 }, (_, n) => [n, 0] as const), ...MAP]
    const map = padded(`${[many.length, ...many.flat()].join("\n")}\n`)
    return tarball({
      path: "GNUSparseFile.1/f", content: Buffer.concat([map, sparse]), pax: {
        ...SPARSE, "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f",
      },
    })
  })(),
  old: (() => {
    const block = header({ path: "f", type: "S", content: sparse }, "ustar  \0")
    for (const [n, [offset, length]] of MAP.entries()) {
      block.write(offset.toString(8).padStart(11, "0"), 386 + 24 * n)
      block.write(length.toString(8).padStart(11, "0"), 398 + 24 * n)
    }
    block.write((11_000).toString(8).padStart(11, "0"), 483)
    return tarball(summed(block), padded(sparse))
  })(),
  "old, with blocks behind the header": (() => {
    const block = header({ path: "f", type: "S", content: sparse }, "ustar  \0")
    const extension = Buffer.alloc(512)
    block.write("00000005670\0\x30", 386) // 3000
    block.write("00000001750", 398) // 1000
    for (const [n, [offset, length]] of MAP.slice(1).entries()) {
      extension.write(offset.toString(8).padStart(11, "0"), 24 * n)
      extension.write(length.toString(8).padStart(11, "0"), 12 + 24 * n)
    }
    block.fill(0, 410, 482)
    block[482] = 1
    block.write((11_000).toString(8).padStart(11, "0"), 483)
    return tarball(summed(block), extension, padded(sparse))
  })(),
}

describe("a tar's entries", () => {
  test("have the fields of their header", () => {
    const made: Made = {
      path: "etc/passwd", content: "root", mode: 0o4755, uid: 1000, gid: 1001, mtime: 1_234_567_890,
    }
    expect(read(tarball(made))).toEqual([{
      entry: {
        type: "file", path: "etc/passwd", link: "", mode: 0o4755, uid: 1000, gid: 1001, size: 4,
        mtime: { seconds: 1_234_567_890, nanoseconds: 0 }, major: 0, minor: 0, xattrs: [],
      },
      content: Buffer.from("root"),
    }])
  })

  test("are of these types", () => {
    const types = "01234567".split("").map((type) => only({ path: "x", type, link: "y" }).type)
    expect(types).toEqual([
      "file", "link", "symlink", "character", "block", "directory", "fifo", "file",
    ])
    expect(only({ path: "old/", type: "\0" }).type).toBe("directory")
    expect(only({ path: "null", type: "3", major: 1, minor: 3 }))
      .toMatchObject({ major: 1, minor: 3 })
  })

  test("may have numbers in base 256", () => {
    expect(only({ path: "x", uid: 3_000_000, gid: 4_294_967_294, mtime: -5 })).toMatchObject({
      uid: 3_000_000, gid: 4_294_967_294, mtime: { seconds: -5, nanoseconds: 0 },
    })
  })

  test("may have long names, by prefix, GNU or PAX", () => {
    const split = header({ path: "name" })
    split.write("some/where", 345)
    expect(only(summed(split)).path).toBe("some/where/name")
    const name = `${"d/".repeat(200)}f`
    expect(only(long("L", name), long("K", `${name}2`), entry({ path: "short", type: "2" })))
      .toMatchObject({ path: name, link: `${name}2` })
    expect(only({ path: "short", type: "2", pax: { path: name, linkpath: "l\xff" } }))
      .toMatchObject({ path: name, link: "l\xc3\xbf" })
  })

  test("may have PAX records for all else, which end with them", () => {
    const [first, second] = read(tarball(
      {
        path: "a", pax: {
          mtime: "1.25", uid: "70000", gid: "70001", "SCHILY.xattr.user.k": Buffer.from([0, 255]),
        },
      },
      { path: "b", mtime: 7 }))
    expect(first!.entry).toMatchObject({
      mtime: { seconds: 1, nanoseconds: 250_000_000 }, uid: 70_000, gid: 70_001,
      xattrs: [["user.k", "\0\xff"]],
    })
    expect(second!.entry).toMatchObject({ mtime: { seconds: 7 }, uid: 0, xattrs: [] })
    const before = only({ path: "a", pax: { mtime: "-1.25" } })
    expect(before.mtime).toEqual({ seconds: -2, nanoseconds: 750_000_000 })
  })

  test("share global PAX records, which their own override and can take back", () => {
    const read3 = read(tarball(
      pax({ mtime: "5", uid: "9" }, "g"), { path: "a" }, { path: "b", pax: { uid: "8" } },
      pax({ uid: "" }, "g"), { path: "c" })).map(({ entry }) => [entry.mtime.seconds, entry.uid])
    expect(read3).toEqual([[5, 9], [5, 8], [5, 0]])
  })

  test("may have their size in PAX", () => {
    const [a, b] = read(tarball(
      pax({ size: "600" }), header({ path: "a", size: 0 }), padded(noise(600)), { path: "b" }))
    expect(a!.content.equals(noise(600))).toBe(true)
    expect(b!.entry.path).toBe("b")
  })

  for (const [format, bytes] of Object.entries(sparseTars)) {
    test(`may be sparse: ${format}`, () => {
      const [file] = read(bytes)
      expect(file!.entry).toMatchObject({ path: "f", size: 11_000 })
      expect(file!.content.equals(sparseWhole)).toBe(true)
    })
  }

  test("may be none, and the end may be anything from missing to garbage", () => {
    expect(read(tarball())).toEqual([])
    expect(read(Buffer.alloc(0))).toEqual([])
    expect(read(entry({ path: "a", content: "x" }))).toHaveLength(1)
    expect(read(Buffer.concat([tarball({ path: "a" }), noise(3000)]))).toHaveLength(1)
  })

  test("have checksums of signed bytes in some old archives", () => {
    const block = header({ path: "\xe4\xf6" })
    let sum = 8 * 32
    for (const [n, byte] of block.entries()) if (n < 148 || n > 155) sum += byte << 24 >> 24
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    expect(only(block).path).toBe("\xe4\xf6")
  })
})

describe("a tar reader", () => {
  const all = tarball(
    pax({ comment: "all of it" }, "g"),
    long("L", "x".repeat(300)), { path: "f", content: noise(1500) },
    ...Object.values(sparseTars).map((bytes) => bytes.subarray(0, -1024)),
    { path: "d/", type: "5" },
    { path: "l", type: "2", link: "f", pax: { linkpath: "y".repeat(700) } },
    { path: "e", content: Buffer.alloc(512) })

  test("can stop and go on anywhere", () => {
    const whole = read(all)
    expect(whole).toHaveLength(10)
    fc.assert(fc.property(
      fc.uniqueArray(fc.nat(all.length), { maxLength: 30 }), (cuts) => {
        expect(read(all, cuts.toSorted((a, b) => a - b))).toEqual(whole)
      }), { numRuns: 60 })
    expect(read(all, Array.from({ length: all.length / 37 }, (_, n) => 37 * n))).toEqual(whole)
  })

  test("can skip content instead of reading it", () => {
    const [seen, names] = [read(all), [] as string[]]
    const reader = new TarReader({
      raw: () => {}, end: () => {}, entry: ({ path }) => void names.push(path),
      content: () => expect.unreachable(),
    })
    const raws: (Buffer | number)[] = []
    new TarReader({
      raw: (raw) => void raws.push(Buffer.from(raw)), entry: () => {}, end: () => {},
      content: (_, start, end) => void raws.push(end - start),
    }).write(all)
    for (const raw of raws) {
      if (typeof raw === "number") reader.skip(raw)
      else reader.write(raw)
    }
    reader.end()
    expect(names).toEqual(seen.map(({ entry }) => entry.path))
    expect(reader.position).toBe(all.length)
    expect(() => reader.skip(1)).toThrow(TarError)
  })

  const broken: Readonly<Record<string, Buffer>> = {
    "a wrong checksum": Buffer.concat([Buffer.alloc(512, 65), Buffer.alloc(1024)]),
    "an unknown type": tarball({ path: "x", type: "Q" }),
    "a number that is none": tarball(summed(header({ path: "x" }).fill("9", 124, 130))),
    "a negative size": tarball({ path: "x", size: -1 }),
    "an enormous size": tarball({ path: "x", pax: { size: "9".repeat(17) } }),
    "an end inside of a header": tarball({ path: "x" }).subarray(0, 100),
    "an end inside of content": entry({ path: "x", content: noise(600) }).subarray(0, 700),
    "an end behind a PAX header": pax({ path: "x" }),
    "something behind one block of zeros":
      Buffer.concat([entry({ path: "x" }), Buffer.alloc(512), entry({ path: "y" })]),
    "a PAX record that is too long": tarball({ path: "p", type: "x", content: "99 a=b\n" }),
    "a PAX record of no length": tarball({ path: "p", type: "x", content: "0 a=b\n" }),
    "a sparse map that is all one number": tarball({
      path: "x", content: Buffer.alloc(3 << 20, "1"), pax: { ...SPARSE, "GNU.sparse.major": "1" },
    }),
    "a PAX path with a NUL": tarball({ path: "x", pax: { path: "a\0b" } }),
    "a PAX size that is none": tarball({ path: "x", pax: { size: "1e3" } }),
    "a PAX mtime that is none": tarball({ path: "x", pax: { mtime: "yesterday" } }),
    "a PAX header of 2 MiB": tarball({ path: "x", pax: { comment: "c".repeat(2 << 20) } }),
    "an owner of 2^32": tarball({ path: "x", pax: { uid: "4294967295" } }),
    "a sparse map that overlaps": tarball({
      path: "x", content: noise(20),
      pax: { "GNU.sparse.size": "100", "GNU.sparse.map": "0,10,5,10" },
    }),
    "a sparse map beyond its file": tarball({
      path: "x", content: noise(10), pax: { "GNU.sparse.size": "100", "GNU.sparse.map": "95,10" },
    }),
    "a sparse map of another length": tarball({
      path: "x", content: noise(20), pax: { "GNU.sparse.size": "100", "GNU.sparse.map": "0,10" },
    }),
    "a sparse map without an end": tarball({
      path: "x", content: Buffer.alloc(2048, "1"), pax: { ...SPARSE, "GNU.sparse.major": "1" },
    }),
    "a sparse map of too many": tarball({
      path: "x", content: padded(`${"9".repeat(15)}\n`),
      pax: { ...SPARSE, "GNU.sparse.major": "1" },
    }),
  }
  for (const [what, bytes] of Object.entries(broken)) {
    test(`refuses ${what}`, () => {
      expect(() => read(bytes)).toThrow(TarError)
    })
  }

  test("throws nothing but its own error, whatever it is given", () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.nat(all.length - 1), fc.nat(255)), { maxLength: 5 }), (changes) => {
        const bytes = Buffer.from(all)
        for (const [at, value] of changes) bytes[at] = value
        for (let at = 0; at + 512 <= bytes.length; at += 512) {
          const block = bytes.subarray(at, at + 512)
          if (block.toString("latin1", 257, 262) === "ustar") summed(block)
        }
        try {
          read(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(TarError)
        }
      }), { numRuns: 200 })
  })
})
