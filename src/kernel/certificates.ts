import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path/posix"

/**
 * What stands in `<directory>/<host>/` for a registry, as Docker has it: every `*.crt` is a root to
 * be trusted, `x.cert` with `x.key` is what this machine shows of itself. PEM texts; null: nothing.
 * A file that cannot be read is left out: the connection will say what it lacks.
 */
export function registryCertificates(directory: string, host: string) {
  if (!/^[\w.:[\]-]+$/.test(host) || host.startsWith(".")) return null
  const home = join(directory, host)
  const names = namesIn(home)
  const ca = names.filter((name) => name.endsWith(".crt")).flatMap((name) => text(join(home, name)))
  const pair = names.find((name) =>
    name.endsWith(".cert") && names.includes(name.replace(/cert$/, "key")))
  const cert = pair === undefined ? [] : text(join(home, pair))
  const key = pair === undefined ? [] : text(join(home, pair.replace(/cert$/, "key")))
  return ca.length === 0 && cert.length === 0
    ? null
    : { ca, cert: cert[0] ?? null, key: key[0] ?? null }
}

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory).toSorted()
  } catch {
    return []
  }
}

const text = (path: string): readonly string[] => {
  try {
    return [readFileSync(path, "utf8")]
  } catch {
    return []
  }
}
