import type { Credentials } from "../engine/requests/pull.ts"

const WORDS: Readonly<Record<string, keyof Credentials>> = {
  username: "username",
  password: "password",
  identitytoken: "identityToken",
  registrytoken: "registryToken",
}

/**
 * Credentials out of an `X-Registry-Auth` header: base64url (or plain base64) of a JSON object
 * whose keys count whatever their case, as Go's do. What cannot be read counts as none, as under
 * Docker. `auth` is the old form, base64 of `user:password`.
 */
export const credentialsIn = (header: string | undefined): Credentials | null => {
  if (header === undefined || header === "") return null
  const json = decoded(header)
  if (json === null) return null
  const found = { username: "", password: "", identityToken: "", registryToken: "" }
  for (const [key, value] of Object.entries(json)) {
    if (typeof value !== "string") continue
    const word = WORDS[key.toLowerCase()]
    if (word !== undefined) found[word] = value
    else if (key.toLowerCase() === "auth" && value !== "") {
      const [user = "", ...rest] = Buffer.from(value, "base64").toString().split(":")
      found.username ||= user
      found.password ||= rest.join(":")
    }
  }
  return Object.values(found).some((value) => value !== "") ? found : null
}

const decoded = (header: string): object | null => {
  try {
    const value: unknown = JSON.parse(Buffer.from(header, "base64url").toString())
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
