import type { Address } from "../../machines/words.ts"
import type { Database } from "./database.ts"

/** A repository, at the host that its registry answers at. */
export interface RepositoryPlace {
  readonly host: string
  readonly repository: string
}

/** A blob that a layer is, or came from. */
export interface KnownBlob {
  readonly digest: string
  /** Compressed bytes. */
  readonly size: number
  readonly mediaType: string
}

/** Which blob of which repository each layer is: what was fetched and checked, or pushed. */
export class Distribution {
  readonly #db: Database
  constructor(db: Database) {
    this.#db = db
  }

  /** The newest word of a repository counts. A layer that has gone is not spoken of. */
  note(layer: Address, { host, repository }: RepositoryPlace, blob: KnownBlob): void {
    this.#db.run(
      `INSERT OR REPLACE INTO distribution (layer, host, repository, digest, size, media_type)
       SELECT address, ?, ?, ?, ?, ? FROM layer WHERE address = ?`,
      host, repository, blob.digest, blob.size, blob.mediaType, layer,
    )
  }

  /** Every place of a tar, the newest first, whichever way it is unpacked here. */
  placesOf(diffId: string): (RepositoryPlace & KnownBlob)[] {
    return this.#db.all(
      `SELECT d.host, d.repository, d.digest, d.size, d.media_type AS mediaType
       FROM distribution d JOIN layer ON layer.address = d.layer
       WHERE layer.diff_id = ? ORDER BY d.seq DESC`,
      diffId,
    )
  }
}
