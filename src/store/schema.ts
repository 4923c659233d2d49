/**
 * The tables, step by step: `STEPS[n]` brings a database of `user_version` n to n + 1. Steps are
 * additive for one release, so that the release before can still read what this one wrote.
 * Every column, and what a crash between any two writes leaves behind: docs/journal.md.
 */
export const STEPS: readonly string[] = [`
CREATE TABLE engine (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  oldest_reader INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  boot INTEGER NOT NULL
) STRICT;
CREATE TABLE machine (
  address TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  snapshot TEXT NOT NULL,
  quarantine TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL,
  cause INTEGER,
  boot INTEGER NOT NULL,
  mono_ms INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL,
  version INTEGER NOT NULL,
  event TEXT NOT NULL,
  value TEXT NOT NULL,
  asked TEXT NOT NULL,
  base TEXT
) STRICT;
CREATE INDEX journal_address ON journal (address, seq);
CREATE TABLE command (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL,
  name TEXT NOT NULL,
  params TEXT NOT NULL,
  seq INTEGER NOT NULL,
  boot INTEGER NOT NULL
) STRICT;
CREATE TABLE timer (
  address TEXT NOT NULL,
  id TEXT NOT NULL,
  event TEXT NOT NULL,
  seq INTEGER NOT NULL,
  delay_ms INTEGER NOT NULL,
  boot INTEGER NOT NULL,
  due_mono_ms INTEGER NOT NULL,
  due_wall_ms INTEGER NOT NULL,
  PRIMARY KEY (address, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
  kept TEXT NOT NULL,
  holder TEXT NOT NULL,
  PRIMARY KEY (kept, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_holder ON lease (holder);
CREATE TABLE layer (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  address TEXT NOT NULL UNIQUE,
  diff_id TEXT NOT NULL,
  bottom INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  tar_bytes INTEGER NOT NULL,
  ready INTEGER NOT NULL
) STRICT;
CREATE TABLE checkpoint (
  layer TEXT PRIMARY KEY REFERENCES layer (address) ON DELETE CASCADE,
  state BLOB NOT NULL
) STRICT;
CREATE TABLE staged (
  address TEXT PRIMARY KEY,
  image TEXT NOT NULL,
  config BLOB NOT NULL,
  manifest BLOB,
  media_type TEXT NOT NULL,
  layers TEXT NOT NULL,
  tags TEXT NOT NULL,
  digests TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE image (
  id TEXT PRIMARY KEY,
  config BLOB NOT NULL,
  manifest BLOB,
  media_type TEXT NOT NULL,
  added_ms INTEGER NOT NULL,
  tagged_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE image_layer (
  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  layer TEXT NOT NULL REFERENCES layer (address),
  PRIMARY KEY (image, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_layer ON image_layer (layer);
CREATE TABLE tag (
  reference TEXT PRIMARY KEY,
  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE digest (
  reference TEXT PRIMARY KEY,
  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE TABLE container (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  image TEXT NOT NULL,
  image_name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  terms TEXT NOT NULL,
  given TEXT NOT NULL,
  layers TEXT NOT NULL,
  state TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX container_image ON container (image);
`, `
CREATE TABLE distribution (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  layer TEXT NOT NULL REFERENCES layer (address) ON DELETE CASCADE,
  host TEXT NOT NULL,
  repository TEXT NOT NULL,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  UNIQUE (layer, host, repository)
) STRICT;
`]

/** What this program writes. */
export const SCHEMA_VERSION = STEPS.length

/** The oldest program (by its SCHEMA_VERSION) that may still open what this one wrote. */
export const OLDEST_READER = 1
