import * as Context from "effect/Context"
import type { Address } from "../../machines/words.ts"
import type { Credentials } from "../layers/carrier.ts"

/**
 * Credentials of pulls in flight, by the image's address. In memory and nowhere else: after a crash
 * a pull that needs some waits until a client brings them again.
 */
export class Keyring
  extends Context.Service<Keyring, Map<Address, Credentials>>()("engine/Keyring") {}
