import { existsSync, mkdirSync } from "node:fs"

/** Is there anything at this path? A dangling link counts as nothing, as for mount(2). */
export const exists = (path: string): boolean => existsSync(path)

/** Makes a directory and its parents where nothing is yet. Throws Node's error, with a code. */
export const makeMissing = (path: string): void => {
  if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o755 })
}
