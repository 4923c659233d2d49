import type { Address } from "../../machines/words.ts"
import type { Database } from "./database.ts"
import { Refusal } from "./refusal.ts"

export interface ImageRow {
  readonly id: string
  /** Exactly the bytes whose sha256 is `id`. */
  readonly config: Uint8Array
  /** Exactly the registry's bytes; null for a loaded image. */
  readonly manifest: Uint8Array | null
  readonly media_type: string
  readonly added_ms: number
  readonly tagged_ms: number
}

/** An image in the making, or one that is pushed. */
export interface Staged extends Pick<ImageRow, "config" | "manifest" | "media_type"> {
  readonly image: string
  /** Lowest first. */
  readonly layers: readonly Address[]
}

/** What a pull or a load brings; becomes visible as a whole or not at all. */
export interface ImageCargo {
  readonly config: Uint8Array
  readonly manifest: Uint8Array | null
  readonly mediaType: string
  /** Canonical references with a tag: `docker.io/library/busybox:latest`. */
  readonly tags: readonly string[]
  /** Canonical references with a digest. */
  readonly digests: readonly string[]
  /** Layers that are read to make it: those of a delta's base. */
  readonly leased: readonly Address[]
}

/** Names of an image that was here already. */
export interface NamesCargo {
  readonly imageId: string
  readonly tags: readonly string[]
  readonly digests: readonly string[]
  /** They came with an archive that held the image once more. */
  readonly loaded?: true
}

/** What a removal takes: these names, and the image itself if `forget`. */
export interface RemovalCargo extends NamesCargo {
  readonly forget: boolean
  /** A container that does not run may lose its image's name, though not its layers. */
  readonly force: boolean
}

/** Images, their names, and those still in the making. */
export class Images {
  readonly #db: Database
  constructor(db: Database) {
    this.#db = db
  }

  get(id: string): ImageRow | undefined {
    return this.#db.get("SELECT * FROM image WHERE id = ?", id)
  }
  all(): ImageRow[] {
    return this.#db.all("SELECT * FROM image ORDER BY added_ms DESC, id")
  }
  /** Ids that begin with this prefix (`sha256:` included), at most two: enough to see ambiguity. */
  byPrefix(prefix: string): string[] {
    return this.#db.all<{ id: string }>(
      "SELECT id FROM image WHERE id >= ? AND id < ? LIMIT 2", prefix, `${prefix}g`,
    ).map((row) => row.id)
  }
  byReference(reference: string): string | undefined {
    return this.#db.get<{ image: string }>(
      `SELECT image FROM tag WHERE reference = ?
       UNION ALL SELECT image FROM digest WHERE reference = ?`,
      reference, reference,
    )?.image
  }
  tags(): { reference: string; image: string }[] {
    return this.#db.all("SELECT reference, image FROM tag ORDER BY reference")
  }
  digests(): { reference: string; image: string }[] {
    return this.#db.all("SELECT reference, image FROM digest ORDER BY reference")
  }
  /** Addresses of an image's layers, lowest first. */
  layers(id: string): Address[] {
    return this.#db.all<{ layer: Address }>(
      "SELECT layer FROM image_layer WHERE image = ? ORDER BY position", id,
    ).map((row) => row.layer)
  }
  /** What is kept of an image in the making, or of one that is pushed. */
  staged(address: Address): Staged | undefined {
    const row = this.#db.get<Omit<Staged, "layers"> & { layers: string }>(
      "SELECT image, config, manifest, media_type, layers FROM staged WHERE address = ?", address,
    )
    return row && { ...row, layers: JSON.parse(row.layers) }
  }

  stage(address: Address, image: string, layers: readonly Address[], cargo: ImageCargo): void {
    this.#db.run(
      "INSERT OR REPLACE INTO staged VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      address, image, cargo.config, cargo.manifest, cargo.mediaType, JSON.stringify(layers),
      JSON.stringify(cargo.tags), JSON.stringify(cargo.digests),
    )
  }
  /** Keeps what is here of an image as it is now, whatever becomes of the image. */
  restage(address: Address, id: string, layers: readonly Address[]): void {
    const row = this.get(id)
    if (row === undefined) throw new Refusal("notFound", id)
    const { config, manifest, media_type: mediaType } = row
    const nothing = { tags: [], digests: [], leased: [] }
    this.stage(address, id, layers, { config, manifest, mediaType, ...nothing })
  }
  unstage(address: Address): void {
    this.#db.run("DELETE FROM staged WHERE address = ?", address)
  }

  /** The moment an image becomes visible: its row, its layers, its names, in one transaction. */
  publish(address: Address, wallMs: number): void {
    const row = this.#db.get<{
      image: string
      config: Uint8Array
      manifest: Uint8Array | null
      media_type: string
      layers: string
      tags: string
      digests: string
    }>("SELECT * FROM staged WHERE address = ?", address)
    if (row === undefined) throw new Error(`${address} became ready, but nothing was staged`)
    this.#db.run(
      `INSERT INTO image VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
       SET manifest = coalesce(excluded.manifest, manifest)`,
      row.image, row.config, row.manifest, row.media_type, wallMs, wallMs,
    )
    const layers = JSON.parse(row.layers) as Address[]
    for (const [position, layer] of layers.entries()) {
      this.#db.run("INSERT OR IGNORE INTO image_layer VALUES (?, ?, ?)", row.image, position, layer)
    }
    const [tags, digests] = [JSON.parse(row.tags), JSON.parse(row.digests)]
    this.name({ imageId: row.image, tags, digests }, wallMs)
    this.unstage(address)
  }

  /** Moves these names to an image; what they named before stays, perhaps without a name. */
  name({ imageId, tags, digests }: NamesCargo, wallMs: number): void {
    if (this.get(imageId) === undefined) throw new Refusal("notFound", imageId)
    for (const tag of tags) this.#db.run("INSERT OR REPLACE INTO tag VALUES (?, ?)", tag, imageId)
    for (const digest of digests) {
      this.#db.run("INSERT OR REPLACE INTO digest VALUES (?, ?)", digest, imageId)
    }
    if (tags.length === 0) return
    this.#db.run("UPDATE image SET tagged_ms = ? WHERE id = ?", wallMs, imageId)
  }

  /** Takes names, and the image where asked; refuses what a container still needs. */
  remove({ imageId, tags, digests, forget, force }: RemovalCargo): void {
    if (this.get(imageId) === undefined) throw new Refusal("notFound", imageId)
    for (const tag of tags) {
      this.#db.run("DELETE FROM tag WHERE reference = ? AND image = ?", tag, imageId)
    }
    for (const digest of digests) {
      this.#db.run("DELETE FROM digest WHERE reference = ? AND image = ?", digest, imageId)
    }
    if (!forget) return
    const user = this.#db.get<{ id: string }>(
      "SELECT id FROM container WHERE image = ? LIMIT 1", imageId,
    )
    if (user !== undefined && !force) throw new Refusal("inUse", user.id)
    this.#db.run("DELETE FROM image WHERE id = ?", imageId)
  }
}
