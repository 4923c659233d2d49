import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { layerAddress } from "../../../machines/words.ts"
import { Carrier, type Resolved } from "../../layers/carrier.ts"
import {
  formatReference, parseReference, type Reference, repositoryOf,
} from "../../oci/reference.ts"
import type { ImageCargo, NamesCargo } from "../../store/images.ts"
import { Store } from "../../store/store.ts"
import type { Hands, MachineEvent, Order } from "../hand.ts"
import { Keyring } from "../keyring.ts"
import { Registries } from "../registries.ts"

interface Wanted {
  readonly reference: string
  readonly platform: string | null
}

const namesOf = (reference: Reference, digest: string) => ({
  tags: reference.digest === null ? [formatReference(reference)] : [],
  digests: [`${repositoryOf(reference)}@${digest}`],
})

/** What a registry says of a reference, as an event: the layers it needs, and the rows as cargo. */
const resolvedEvent = (reference: Reference, found: Resolved): MachineEvent => {
  const row: ImageCargo = {
    config: found.config,
    manifest: found.manifest,
    mediaType: found.mediaType,
    ...namesOf(reference, found.digest),
  }
  const layers = found.layers.map(({ diffId, source }, position) => ({
    address: layerAddress(diffId, position === 0),
    source,
  }))
  return { type: "resolved", imageId: found.imageId, digest: found.digest, layers, row }
}

/** Hands for images in the making: what a reference names is asked of its registry. */
export const imageHands = Effect.gen(function*() {
  const store = yield* Store
  const carrier = yield* Carrier
  const keyring = yield* Keyring
  const registries = yield* Registries

  const presentEvent = (reference: Reference, found: Resolved): MachineEvent => {
    const row: NamesCargo = { imageId: found.imageId, ...namesOf(reference, found.digest) }
    return { type: "present", imageId: found.imageId, digest: found.digest, row }
  }

  const resolve = (order: Order<Wanted>): Effect.Effect<MachineEvent> => {
    const parsed = parseReference(order.params.reference)
    if (Result.isFailure(parsed)) {
      const { cause } = parsed.failure
      return Effect.succeed({ type: "resolveFailed", reason: "unsupported", cause })
    }
    const reference = parsed.success
    const credentials = keyring.get(order.address) ?? null
    return carrier.resolve({
      repository: reference.path,
      reference: reference.digest ?? reference.tag ?? "latest",
      access: { ...registries.accessTo(reference.domain), credentials },
      platform: order.params.platform,
      retrying: () => {},
    }).pipe(
      Effect.map((found) =>
        store.images.get(found.imageId) === undefined
          ? resolvedEvent(reference, found)
          : presentEvent(reference, found)
      ),
      Effect.catch((fault) =>
        Effect.succeed({
          type: "resolveFailed",
          reason: fault.reason === "unauthorized" && order.attempt !== "first"
              && credentials === null
            ? "credentials"
            : fault.reason,
          cause: fault.cause,
        })
      ),
    )
  }

  const hands: Hands = { "image.resolve": { kind: "long", run: resolve } }
  return hands
})
