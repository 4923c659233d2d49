import { readFileSync } from "node:fs"

/** Reads a whole file as UTF-8; null where there is none. Everything else is thrown. */
export const readTextFile = (path: string): string | null => {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
}
