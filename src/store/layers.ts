import { type Address, keyOf } from "../../machines/words.ts"
import type { Database } from "./database.ts"
import { Refusal } from "./refusal.ts"

export interface LayerRow {
  /** Names its directory: `overlay2/<id in base 36>`. */
  readonly id: number
  readonly address: Address
  readonly diff_id: string
  readonly bottom: 0 | 1
  /** Of file content. */
  readonly bytes: number
  /** Of the uncompressed tar. */
  readonly tar_bytes: number
  readonly ready: 0 | 1
}

const BOTTOM = ".bottom"

/** What is known of each layer's directory. One without a row is swept; a row is the truth. */
export class Layers {
  readonly #db: Database
  constructor(db: Database) {
    this.#db = db
  }

  get(address: Address): LayerRow | undefined {
    return this.#db.get("SELECT * FROM layer WHERE address = ?", address)
  }
  all(): LayerRow[] {
    return this.#db.all("SELECT * FROM layer ORDER BY id")
  }
  checkpointOf(address: Address): Uint8Array | null {
    const row = this.#db.get<{ state: Uint8Array }>(
      "SELECT state FROM checkpoint WHERE layer = ?", address,
    )
    return row?.state ?? null
  }
  /** Overwrites how far a layer has durably come. A layer that is ready or gone takes none. */
  checkpoint(address: Address, state: Uint8Array): void {
    this.#db.run(
      `INSERT INTO checkpoint SELECT address, ? FROM layer WHERE address = ? AND ready = 0
       ON CONFLICT DO UPDATE SET state = excluded.state`,
      state, address,
    )
  }

  stage(address: Address): void {
    const key = keyOf(address)
    const bottom = key.endsWith(BOTTOM)
    const diffId = bottom ? key.slice(0, -BOTTOM.length) : key
    this.#db.run(
      `INSERT OR IGNORE INTO layer (address, diff_id, bottom, bytes, tar_bytes, ready)
       VALUES (?, ?, ?, 0, 0, 0)`,
      address, diffId, bottom ? 1 : 0,
    )
  }
  ready(address: Address, bytes: number, tarBytes: number): void {
    this.#db.run(
      "UPDATE layer SET ready = 1, bytes = ?, tar_bytes = ? WHERE address = ?",
      bytes, tarBytes, address,
    )
    this.#db.run("DELETE FROM checkpoint WHERE layer = ?", address)
  }
  /** Its files are about to go: from now on it is neither ready nor resumable. */
  unready(address: Address): void {
    this.#db.run("UPDATE layer SET ready = 0 WHERE address = ?", address)
    this.#db.run("DELETE FROM checkpoint WHERE layer = ?", address)
  }
  forget(address: Address): void {
    this.#db.run("DELETE FROM layer WHERE address = ?", address)
  }

  /** Refuses if an image, a container or a pull still names the layer. */
  refuseIfNamed(address: Address): void {
    const lease = this.#db.get<{ holder: string }>(
      "SELECT holder FROM lease WHERE kept = ? LIMIT 1", address,
    )
    if (lease !== undefined) throw new Refusal("inUse", lease.holder)
    const image = this.#db.get<{ image: string }>(
      "SELECT image FROM image_layer WHERE layer = ? LIMIT 1", address,
    )
    if (image !== undefined) throw new Refusal("inUse", image.image)
  }

  lease(kept: Address, holder: Address): void {
    this.#db.run("INSERT OR IGNORE INTO lease VALUES (?, ?)", kept, holder)
  }
  release(holder: Address): void {
    this.#db.run("DELETE FROM lease WHERE holder = ?", holder)
  }
  leases(): { kept: string; holder: string }[] {
    return this.#db.all("SELECT kept, holder FROM lease")
  }
  /** Which layers each image stands on. */
  edges(): { image: string; layer: Address }[] {
    return this.#db.all("SELECT image, layer FROM image_layer")
  }
}
