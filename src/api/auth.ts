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
  const json = header === undefined || header === "" ? null : decoded(header)
  return json === null ? null : credentialsOf(json)
}

/** The server that a login is for: `serveraddress`, in any case; empty: the hub. */
export const serverOf = (json: object): string =>
  String(Object.entries(json).find(([key]) => key.toLowerCase() === "serveraddress")?.[1] ?? "")

/** Credentials out of what a client sends as JSON; null: there are none in it. */
export const credentialsOf = (json: object): Credentials | null => {
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
