/** What a delta's manifest says of it beside its subject, the image that it makes. */
export interface DeltaNotes {
  /** ID of the image that it is made against. */
  readonly base: string
  /** Of all its layers, as they are sent. */
  readonly bytes: number
}

const BASE = "io.balena.delta.base"
const BYTES = "io.balena.delta.bytes"

type Annotations = Readonly<Record<string, string>>

/** The annotations of a delta's manifest, which registries show in the list of referrers as well. */
export const deltaAnnotations = ({ base, bytes }: DeltaNotes): Annotations =>
  ({ [BASE]: base, [BYTES]: String(bytes) })

/** Reads them; empty of what is no delta. */
export const deltaNotes = (annotations: Annotations): DeltaNotes | { readonly base?: never } => {
  const { [BASE]: base, [BYTES]: bytes = "" } = annotations
  if (base === undefined || !/^sha256:[0-9a-f]{64}$/.test(base)) return {}
  return /^\d{1,15}$/.test(bytes) ? { base, bytes: Number(bytes) } : {}
}
