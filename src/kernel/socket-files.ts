import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { dirname } from "node:path"

/** Makes room for a socket: its directory, and away with the file that a dead daemon left. */
export const clearSocket = (path: string): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  const there = statSync(path, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isSocket()) throw new Error(`${path} is no socket: it is left alone`)
  rmSync(path)
}

/**
 * Gives a bound socket to a group (by name or number; one that does not exist: to root) as 0660.
 */
export const shareSocket = (path: string, groups: readonly string[]): void => {
  const gid = groups.map(groupId).find((id) => id !== null) ?? null
  if (gid !== null) chownSync(path, 0, gid)
  chmodSync(path, 0o660)
}

const groupId = (name: string): number | null => {
  if (/^\d+$/.test(name)) return Number(name)
  const line = readFileSync("/etc/group", "utf8").split("\n").find((one) =>
    one.startsWith(`${name}:`)
  )
  return line === undefined ? null : Number(line.split(":")[2])
}
