import {
  close, namesIn, openBeneath, openFileBeneath, readAt, readLinkAt, renameAt, sizeOf, truncate,
  unlinkAt,
} from "../kernel/files.ts"
import type { Bytes } from "../kernel/files.ts"
import { removeAt, walk } from "../kernel/tree.ts"
import type { Checkpoint } from "./checkpoint.ts"
import { LayerDamaged } from "./damage.ts"
import type { Moved } from "./diff.ts"
import { IndexReader } from "./index.ts"
import type { RecordKind, Saved } from "./index.ts"
import { nameOf, parentOf } from "./paths.ts"

/** A layer's directory under construction, open. */
export interface LayerFiles {
  readonly layer: number
  readonly diff: number
  readonly shadow: number
  readonly index: number
}

/**
 * Brings a layer's directory back to where its checkpoint stood, whatever was done after it and
 * however much of that reached the disk: cuts the index, moves replaced objects back, deletes what
 * the index does not name. Idempotent. Null: what should be there is not, so begin the layer again.
 */
export const restore = (
  files: LayerFiles, checkpoint: Checkpoint,
): { readonly saved: Saved; readonly moves: readonly Moved[] } | null => {
  const { indexLength, current, bottom, entries } = checkpoint
  if (sizeOf(files.index) < indexLength) return null
  truncate(files.index, indexLength)
  const named = new Set<Bytes>()
  const name = (kind: RecordKind, path: Bytes): void => {
    if (kind === "unmaterialised" || bottom && (kind === "whiteout" || kind === "opaque")) return
    for (let at = path; at !== "" && !named.has(at); at = parentOf(at)) named.add(at)
  }
  const saved = savedIndex(files.index, indexLength, name)
  if (saved === null || saved.tarPosition !== checkpoint.tar.position) return null
  if (current !== null) name(current.kind, current.path)
  const moves = moveBack(files, entries)
  walk(files.diff, (path, directory) => {
    if (named.has(path)) return directory
    remove(files.diff, path)
    return false
  })
  if (current !== null && current.written !== null) {
    const file = openFileBeneath(files.diff, current.path)
    const whole = sizeOf(file) >= current.written
    if (whole) truncate(file, current.written)
    close(file)
    if (!whole) return null
  }
  return { saved, moves }
}

const savedIndex = (
  index: number, length: number, each: (kind: RecordKind, path: Bytes) => void,
): Saved | null => {
  try {
    return IndexReader.saved((buffer, offset) => readAt(index, buffer, offset), length, (frame) => {
      for (const { kind, path } of frame.records) each(kind, path.toString("latin1"))
    })
  } catch (error) {
    if (error instanceof LayerDamaged) return null
    throw error
  }
}

/**
 * Undoes the moves of entries from number `entries` on, latest first; answers those before, in
 * order. `shadow/<k>.path` says where `shadow/<k>` was, and was made before the move.
 */
const moveBack = ({ diff, shadow }: LayerFiles, entries: number): readonly Moved[] => {
  const names = new Set(namesIn(shadow).map(({ name }) => name))
  const moves = [...names].filter((name) => name.endsWith(".path"))
    .map((note) => ({ entry: Number.parseInt(note, 10), path: readLinkAt(shadow, note), note }))
    .sort((a, b) => a.entry - b.entry)
  const kept = moves.filter(({ entry }) => entry < entries)
  for (const { entry, path, note } of moves.slice(kept.length).toReversed()) {
    if (names.has(String(entry))) {
      const parent = openBeneath(diff, parentOf(path))
      try {
        removeAt(parent, nameOf(path))
        renameAt(shadow, String(entry), parent, nameOf(path))
      } finally {
        close(parent)
      }
    }
    unlinkAt(shadow, note)
  }
  return kept
}

const remove = (root: number, path: Bytes): void => {
  const parent = openBeneath(root, parentOf(path))
  try {
    removeAt(parent, nameOf(path))
  } finally {
    close(parent)
  }
}
