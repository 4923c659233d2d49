/** What one container has on a bridge. Addresses are dotted IPv4; `prefix` is the bridge's. */
export interface Endpoint {
  /** The bridge's interface name on the host. */
  readonly bridge: string
  /** Name of the host's end of the veth pair; follows from the container's id. At most 15 bytes. */
  readonly link: string
  readonly address: string
  readonly prefix: number
  readonly gateway: string
  /** `02:42:ac:11:00:02`, derived from the address as Docker does. */
  readonly mac: string
}
