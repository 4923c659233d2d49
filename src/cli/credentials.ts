import * as fs from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** The key under which clients keep the credentials of the public hub. */
const HUB = "https://index.docker.io/v1/"

interface ConfigFile {
  readonly auths?: Readonly<Record<string, Stored>>
}
interface Stored {
  /** `username:password` in base64. */
  readonly auth?: string
  readonly identitytoken?: string
}

/** The registry a repository lies on, as the keys of the client's configuration name it. */
function registryOf(repository: string): string {
  const [first = ""] = repository.split("/", 1)
  const isHost = repository.includes("/") && (/[.:]/.test(first) || first === "localhost")
  return isHost && first !== "docker.io" ? first : HUB
}

/**
 * The header that carries what this person has stored for a registry, if anything, in
 * `~/.balena-engine/config.json` (the docker CLI's format; DOCKER_CONFIG names another directory).
 */
export function credentialsFor(repository: string): Record<string, string> {
  const directory = process.env["DOCKER_CONFIG"] ?? join(homedir(), ".balena-engine")
  const path = join(directory, "config.json")
  if (!fs.existsSync(path)) return {}
  const { auths = {} } = JSON.parse(fs.readFileSync(path, "utf8")) as ConfigFile
  const registry = registryOf(repository)
  const found = auths[registry] ?? auths[`https://${registry}`]
  if (found?.auth === undefined) return {}
  const [username = "", ...password] = Buffer.from(found.auth, "base64").toString("utf8").split(":")
  const answer = {
    username,
    password: password.join(":"),
    serveraddress: registry,
    ...(found.identitytoken !== undefined && { identitytoken: found.identitytoken }),
  }
  return { "X-Registry-Auth": Buffer.from(JSON.stringify(answer)).toString("base64url") }
}
