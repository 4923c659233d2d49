import { shown } from "../kernel/files.ts"
import type { Bytes } from "../kernel/files.ts"
import { damaged, hostile } from "./faults.ts"

/** Leaves room below PATH_MAX for the prefixes under which a path is reached later. */
const LENGTH_MAX = 3800

/**
 * The path of an entry below its root: no leading, trailing or double slash, no `.` or `..`; the
 * root is `""`. Absolute paths are taken as relative, as Docker does; one that would climb out of
 * the root is refused.
 */
export const relativePath = (path: Bytes, entry: Bytes): Bytes => {
  const parts: Bytes[] = []
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue
    if (part !== "..") parts.push(part)
    else if (parts.pop() === undefined) {
      throw hostile(`the layer's entry ${shown(entry.slice(0, 200))} reaches outside of its root`)
    }
  }
  return checked(parts.join("/"))
}

const checked = (path: Bytes): Bytes => {
  if (path.length > LENGTH_MAX) throw damaged("the layer has a path that is too long")
  return path
}

/** The directory a path is in: `""` for the root. */
export const parentOf = (path: Bytes): Bytes => path.slice(0, Math.max(0, path.lastIndexOf("/")))

/** The last part of a path. */
export const nameOf = (path: Bytes): Bytes => path.slice(path.lastIndexOf("/") + 1)

export const join = (directory: Bytes, name: Bytes): Bytes =>
  directory === "" ? name : checked(`${directory}/${name}`)

/** What a name means in a layer (OCI image specification, "Whiteouts"). */
export type Marker =
  | { readonly kind: "opaque" }
  | { readonly kind: "whiteout"; readonly of: Bytes }
  /** Bookkeeping of the AUFS of old: nothing of it is made. */
  | { readonly kind: "bookkeeping" }

/** The marker that an entry is by its path; null: an entry like any other. */
export const markerOf = (path: Bytes): Marker | null => {
  if (!path.includes(".wh.")) return null
  const name = nameOf(path)
  if (name === ".wh..wh..opq") return { kind: "opaque" }
  if (path.startsWith(".wh..wh.") || path.includes("/.wh..wh.")) return { kind: "bookkeeping" }
  if (!name.startsWith(".wh.")) return null
  const of = name.slice(".wh.".length)
  if (of === "" || of === "." || of === "..") {
    throw hostile(`the layer's whiteout ${shown(path.slice(0, 200))} means no file`)
  }
  return { kind: "whiteout", of }
}
