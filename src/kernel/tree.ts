import { mkdirSync } from "node:fs"
import { Errno } from "./libc.ts"
import {
  close, namesIn, openBeneath, openDirectoryAt, openRoot, rmdirAt, unlinkAt,
} from "./files.ts"
import type { Bytes } from "./files.ts"

/**
 * Removes what `name` in an open directory is, with all below it; nothing there is fine. Holds two
 * descriptors whatever the depth, and follows no symlink.
 */
export const removeAt = (dir: number, name: Bytes): void => {
  if (!isDirectoryAt(dir, name)) {
    unlinkAt(dir, name)
    return
  }
  const todo = [{ path: name, emptied: false }]
  for (let top = todo.at(-1); top !== undefined; top = todo.at(-1)) {
    if (top.emptied) {
      rmdirAt(dir, top.path)
      todo.pop()
      continue
    }
    const fd = openBeneath(dir, top.path)
    try {
      for (const { name, directory } of namesIn(fd)) {
        if (directory) todo.push({ path: `${top.path}/${name}`, emptied: false })
        else unlinkAt(fd, name)
      }
    } finally {
      close(fd)
    }
    top.emptied = true
  }
}

const isDirectoryAt = (dir: number, name: Bytes): boolean => {
  try {
    const fd = openDirectoryAt(dir, name)
    if (fd < 0) return false
    close(fd)
    return true
  } catch (error) {
    if (error instanceof Errno && error.code === "ENOENT") return false
    throw error
  }
}

/** Removes a directory of the engine's own by its full path, with all below it. Idempotent. */
export const removeTree = (path: string): void => {
  const cut = path.replace(/\/+$/, "").lastIndexOf("/")
  const parent = path.slice(0, cut) || "/"
  let dir
  try {
    dir = openRoot(parent)
  } catch (error) {
    if (error instanceof Errno && error.code === "ENOENT") return
    throw error
  }
  try {
    removeAt(dir, Buffer.from(path.slice(cut + 1).replace(/\/+$/, "")).toString("latin1"))
  } finally {
    close(dir)
  }
}

/** Opens a directory of the engine's own, making it (0700) and its missing parents first. */
export const makeTree = (path: string): number => {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return openRoot(path)
}

/** Calls `each` for everything below an open directory, parents first; false: do not go down. */
export const walk = (
  root: number, each: (path: Bytes, directory: boolean) => boolean,
): void => {
  const todo: Bytes[] = [""]
  for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
    const fd = openBeneath(root, path)
    try {
      for (const { name, directory } of namesIn(fd)) {
        const child = path === "" ? name : `${path}/${name}`
        if (each(child, directory) && directory) todo.push(child)
      }
    } finally {
      close(fd)
    }
  }
}
