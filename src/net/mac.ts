/**
 * The hardware address of a container's interface: locally administered, and derived from its IPv4
 * address as Docker does, so that a neighbour's ARP cache stays right when one is used again.
 */
export const macOf = (address: string): string =>
  ["02", "42", ...address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"))]
    .join(":")

/** Longest name of a network interface (IFNAMSIZ less the closing zero). */
const NAME_LENGTH_MAX = 15

/** The name of the host's end of a container's veth pair. */
export const linkName = (containerId: string): string =>
  `veth${containerId}`.slice(0, NAME_LENGTH_MAX)
