import type { Terms } from "../oci/terms.ts"
import type { NetworkState } from "./networks.ts"

/** Placeholder until the network's own room says what these files hold. */
export const hostFilesOf = (
  terms: Terms,
  hostname: string,
  network: NetworkState | null,
  read: (path: string) => string | null,
): Readonly<Record<string, string>> => ({
  hostname: `${hostname}\n`,
  hosts: terms.network.mode === "host"
    ? read("/etc/hosts") ?? ""
    : `127.0.0.1\tlocalhost\n${network === null ? "" : `${network.address}\t${hostname}\n`}`,
  "resolv.conf": read("/etc/resolv.conf") ?? "",
})
