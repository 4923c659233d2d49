import {
  closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync,
} from "node:fs"
import { join } from "node:path"

/**
 * What conmon leaves behind of a run: `<home>/status/{exit,oom}`. A directory of its own, on the
 * disk, as it must be found after a reboot too.
 */

/** Where the status of a container's run lies. */
export const statusDirectoryOf = (home: string): string => join(home, "status")

/** The exit code of the last run; null: it has none (yet). */
export const readExitCode = (home: string): number | null => {
  try {
    const text = readFileSync(join(statusDirectoryOf(home), "exit"), "latin1").trim()
    return /^\d{1,3}$/.test(text) ? Number(text) : null // A power cut may leave it empty.
  } catch {
    return null
  }
}

/** Was a process of the last run killed for want of memory? */
export const readOomMark = (home: string): boolean =>
  existsSync(join(statusDirectoryOf(home), "oom"))

/**
 * Makes room for a new run's status. The old one is removed for good before anything starts: else a
 * power cut in this run could bring back the exit code of the last.
 */
export const clearStatus = (home: string): void => {
  const directory = statusDirectoryOf(home)
  if (mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined) return
  if (!existsSync(join(directory, "exit")) && !existsSync(join(directory, "oom"))) return
  rmSync(join(directory, "exit"), { force: true })
  rmSync(join(directory, "oom"), { force: true })
  const descriptor = openSync(directory, "r")
  fsyncSync(descriptor)
  closeSync(descriptor)
}
