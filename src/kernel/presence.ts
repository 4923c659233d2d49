import { existsSync } from "node:fs"

/** Is there anything at this path? A dangling link counts as nothing, as for mount(2). */
export const exists = (path: string): boolean => existsSync(path)
