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
 * Gives a bound socket to the first of these groups (names or numbers) that exists, to root where
 * none does, as 0660.
 */
export const shareSocket = (path: string, groups: readonly string[]): void => {
  const gid = groups.map(groupId).find((id) => id !== null)
  if (gid !== undefined) chownSync(path, 0, gid)
  chmodSync(path, 0o660)
}

const groupId = (name: string): number | null => {
  if (/^\d+$/.test(name)) return Number(name)
  const lines = readFileSync("/etc/group", "utf8").split("\n")
  const line = lines.find((one) => one.startsWith(`${name}:`))
  return line === undefined ? null : Number(line.split(":")[2])
}
