import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { AddressFault, describe, login, RegistryFault } from "../engine/requests/registry.ts"
import { parseReference, withDefaultTag } from "../oci/reference.ts"
import { credentialsIn, credentialsOf, serverOf } from "./auth.ts"
import { ApiFault, invalid } from "./faults.ts"
import { readJson } from "./json.ts"
import { type Call, route } from "./route.ts"
import { json } from "./stream.ts"

/** What a registry's refusal is to a client; unlike a pull's, a 401 is what it waits for. */
const worded = ({ reason, cause }: RegistryFault): ApiFault => {
  if (reason === "unauthorized") return ApiFault.of("unauthorized", cause)
  return ApiFault.of(reason === "notFound" ? "notFound" : "system", cause)
}

/** The same of a login: where there is nothing to log in to, nobody asked for a thing. */
const refused = (fault: AddressFault | RegistryFault): ApiFault =>
  fault instanceof AddressFault
    ? invalid(fault.cause)
    : fault.reason === "notFound"
    ? ApiFault.of("system", fault.cause)
    : worded(fault)

const NOBODY = { username: "", password: "", identityToken: "", registryToken: "" }

/** `docker login`: are these credentials any good? They are the client's to keep. */
const auth = ({ request }: Call) =>
  Effect.gen(function*() {
    const body = yield* readJson(request)
    if (body === undefined) {
      return yield* invalid("invalid JSON: got EOF while reading request body")
    }
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      return yield* invalid("invalid JSON: credentials are an object")
    }
    const credentials = credentialsOf(body) ?? NOBODY
    yield* Effect.mapError(login(serverOf(body), credentials), refused)
    return json({ IdentityToken: credentials.identityToken, Status: "Login Succeeded" })
  })

/** What a name stands for at its registry, nothing of it being pulled. */
const distribution = ({ params, request }: Call) =>
  Effect.gen(function*() {
    const parsed = parseReference(params["name"]!)
    if (Result.isFailure(parsed)) return yield* invalid(parsed.failure.cause)
    const credentials = credentialsIn(request.headers["x-registry-auth"])
    const asked = describe(withDefaultTag(parsed.success), credentials)
    const { mediaType, digest, bytes, platforms } = yield* Effect.mapError(asked, worded)
    return json({
      Descriptor: { mediaType, digest, size: bytes },
      // As OCI writes them, other than the keys around them.
      Platforms: platforms.map(({ os, architecture, variant }) =>
        ({ architecture, os, ...(variant !== "" && { variant }) })),
    })
  })

/** Routes about what is at a registry, and not here. */
export const registryRoutes = [
  route("POST", "/auth", auth),
  route("GET", "/distribution/{name}/json", distribution),
]
