import Database from "better-sqlite3"
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { run } from "../../simulations/images/command.ts"
import { listing } from "../../simulations/checkers/tree.ts"
import { verifyImages } from "../../simulations/powercut/verify.ts"
import { BUSYBOX_ARCHIVE, type Corner, openCorner, whyNoEngine } from "./engine.ts"
import { belongings, clearOut, expectIntact, furnish } from "./intact.ts"

/** All of a tree but what a claim may touch: its lock, and times. */
const contents = (root: string) => {
  const { lock: _, ...rest } = listing(root, { times: () => false })
  return rest
}

const fill = (root: string, ...files: readonly string[]): void => {
  for (const file of files) {
    mkdirSync(join(root, file, ".."), { recursive: true })
    writeFileSync(join(root, file), file)
  }
}

describe.skipIf(whyNoEngine() !== null)("a data root", () => {
  let corner: Corner
  beforeAll(async () => {
    corner = await openCorner()
  })
  afterAll(async () => corner[Symbol.asyncDispose]())

  /** Starts an engine that will not; answers what it says as it ends. */
  const refused = async (name: string, dataRoot: string): Promise<string> => {
    const engine = await corner.start({ name, dataRoot })
    expect(await engine.ended).toBe(1)
    const [last = ""] = engine.log().trimEnd().split("\n").slice(-1)
    expect(last).toMatch(/^failed to start daemon: /)
    expect(engine.log()).not.toMatch(/^\s+at .*:\d+:\d+/m) // words, no stack
    return last
  }

  describe("with an image in it", () => {
    let dataRoot: string
    let images: readonly string[]
    const withDatabase = (work: (database: Database.Database) => void) => {
      const database = new Database(join(dataRoot, "engine.db"))
      work(database)
      database.close()
    }
    /** Nothing was lost: an engine that may have it has all of it. */
    const isWhole = async (name: string): Promise<void> => {
      const engine = await corner.start({ name, dataRoot })
      expect(await verifyImages(engine.place.socket)).toEqual(images)
      expect(await engine.stop()).toBe(0)
    }

    beforeAll(async () => {
      const engine = await corner.start({ name: "first" })
      await engine.done(["load", "--input", BUSYBOX_ARCHIVE])
      images = await verifyImages(engine.place.socket)
      await engine.stop()
      dataRoot = engine.place.dataRoot
    })

    test("of a newer version is refused, and both versions are named", async () => {
      let mine: { user_version: number; oldest_reader: number } | undefined
      withDatabase((database) => {
        mine = database.prepare("SELECT * FROM pragma_user_version, engine").get() as typeof mine
        database.exec("UPDATE engine SET oldest_reader = 98")
        database.pragma("user_version = 99")
      })
      const before = contents(dataRoot)
      const said = await refused("newer", dataRoot)
      expect(said).toContain("written by a newer engine")
      expect(said).toContain("version 99 and can be read from version 98 on")
      expect(said).toContain(`this engine has version ${mine!.user_version}`)
      expect(contents(dataRoot)).toEqual(before)
      withDatabase((database) => {
        database.prepare("UPDATE engine SET oldest_reader = ?").run(mine!.oldest_reader)
      })
      await isWhole("newer-but-readable") // one release back: user_version is still 99
      withDatabase((database) => database.pragma(`user_version = ${mine!.user_version}`))
      await isWhole("newer-mended")
    })

    test.each([
      ["whose first bytes are not SQLite's", (db: Buffer) => db.fill(0x55, 0, 100)],
      ["of which the pages are noise", (db: Buffer) => db.fill(0x55, 100)],
    ])("with a database %s is left as it is", async (what, damage) => {
      const path = join(dataRoot, "engine.db")
      const copy = join(corner.root, "engine.db")
      withDatabase((database) => database.pragma("wal_checkpoint(TRUNCATE)"))
      copyFileSync(path, copy)
      writeFileSync(path, damage(readFileSync(path)))
      const before = contents(dataRoot)
      expect(await refused(`damaged-${what.length}`, dataRoot))
        .toMatch(/engine\.db cannot be read \(.*\): it is left as it is\. Bring back a copy/)
      expect(contents(dataRoot)).toEqual(before)
      copyFileSync(copy, path)
      await isWhole(`damaged-${what.length}-mended`)
    })

    test("whose database is gone is not swept", async () => {
      const lost = join(corner.root, "lost")
      await run("cp", ["--archive", dataRoot, lost])
      for (const end of ["", "-wal", "-shm"]) rmSync(join(lost, `engine.db${end}`), { force: true })
      const before = contents(lost)
      expect(await refused("gone", lost))
        .toMatch(/holds overlay2, but not the database engine\.db .* bring the database back/)
      expect(contents(lost)).toEqual(before)
    })
  })

  test.each([
    // as dockerd 20.10 and 28 leave it, with each of their ways to store, and balenaEngine
    ["Docker", ["buildkit/cache.db", "containers/c/config.v2.json", "image/overlay2/layerdb/x",
      "overlay2/l/A", "swarm/x", "volumes/metadata.db"]],
    ["Docker with vfs", ["image/vfs/repositories.json", "vfs/dir/a/file"]],
    ["Docker with containerd's store", ["containerd/daemon/x", "volumes/backingFsBlockDev"]],
    ["balenaEngine", ["image/aufs/imagedb/x", "aufs/diff/a/file", "containers/c/hostconfig.json"]],
  ])("of %s is refused, and nothing in it is touched", async (name, files) => {
    const dataRoot = join(corner.root, `foreign-${name}`)
    fill(dataRoot, ...files)
    const before = contents(dataRoot)
    expect(await refused(`on ${name}`, dataRoot))
      .toMatch(/was written by Docker or balenaEngine .* left alone; choose another one with --/)
    expect(contents(dataRoot)).toEqual(before)
  })

  test("may lie in a mount point, and what others mount below it", async () => {
    const dataRoot = join(corner.root, "mounted")
    for (const name of ["lost+found", "tmp", "volumes"]) {
      mkdirSync(join(dataRoot, name), { recursive: true })
    }
    const engine = await corner.start({ name: "mounted", dataRoot })
    expect(await engine.stop()).toBe(0)
  })

  test("that is a file, cannot be written or is an overlay is refused in words", async () => {
    const file = join(corner.root, "file")
    writeFileSync(file, "")
    expect(await refused("on-a-file", file)).toContain(`the data root ${file} cannot be used: `)
    const readonly = join(corner.root, "readonly")
    mkdirSync(readonly)
    await run("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", readonly])
    expect(await refused("on-readonly", readonly)).toContain("read-only file system")
    const overlay = join(corner.root, "overlay")
    const below = ["lower", "upper", "work"].map((name) => join(corner.root, name))
    for (const path of [overlay, ...below]) mkdirSync(path)
    const [lower, upper, work] = below
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`
    await run("mount", ["-t", "overlay", "-o", options, "overlay", overlay])
    expect(await refused("on-overlay", overlay))
      .toMatch(/lies on overlayfs, .* choose a directory on ext4, XFS or btrfs/)
  })

  test("in use is refused to a second engine, which is told who has it", async () => {
    const engine = await corner.start({ name: "one" })
    await furnish(engine)
    const before = await belongings(engine)
    const said = await refused("two", engine.place.dataRoot)
    expect(said).toContain(`another engine (pid ${engine.pid}) uses the data root`)
    expect(said).toContain("stop it, or choose another one with --data-root")
    await expectIntact(corner, before)
    expect(await engine.done(["run", "--rm", "--network", "none", "busybox:1.29", "echo", "on"]))
      .toBe("on\n")
    await clearOut(engine)
    expect(await engine.stop()).toBe(0)
  })
})
