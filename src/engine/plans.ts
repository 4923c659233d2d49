import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Address } from "../../machines/words.ts"
import { bundleOf } from "../kernel/bundle.ts"
import {
  capabilityMask,
  cgroupVersion,
  findDevices,
  hostName,
  kernelRelease,
  textOf,
} from "../kernel/machine.ts"
import { programOf } from "../kernel/probe.ts"
import type { RunPlan } from "../kernel/runtime.ts"
import { capabilitiesOf } from "../oci/capabilities.ts"
import { machinePlatform } from "../oci/platform.ts"
import { runtimeSpec, type SpecInput } from "../oci/spec.ts"
import type { Terms } from "../oci/terms.ts"
import type { Settings } from "../settings.ts"
import type { ContainerRow } from "../store/containers.ts"
import { Store, type StoreBody } from "../store/store.ts"
import { hostFilesOf } from "./host-files.ts"
import type { NetworkState } from "./networks.ts"
import { Paths } from "./paths.ts"
import { Planner } from "./planner.ts"

/** What is asked of the machine once: it does not change while it runs. */
const machineFacts = () => ({
  architecture: machinePlatform.architecture,
  kernel: kernelRelease(),
  cgroupVersion: cgroupVersion(),
  capabilities: capabilitiesOf(capabilityMask()),
})

/** The container whose network another one shares; null: it has its own, or the host's. */
const sharedNetwork = (terms: Terms): string | null =>
  terms.network.mode.startsWith("container:") ? terms.network.mode.slice("container:".length) : null

/** Has it a /dev/shm that others may share? As in dockerd, not if a mount of its own is there. */
const offersShm = ({ ipcMode, mounts }: Terms): boolean =>
  ipcMode === "shareable" && !mounts.some(({ target }) => target === "/dev/shm")

/** The name the container sees itself by. */
const hostnameOf = (terms: Terms, store: StoreBody): string => {
  if (terms.utsMode === "host" || terms.network.mode === "host") return terms.hostname || hostName()
  const other = sharedNetwork(terms)
  const row = other === null ? undefined : store.containers.get(other)
  return row === undefined ? terms.hostname : (row.terms as Terms).hostname
}

/** Plans for a real machine. */
export const plannerLinux = (settings: Settings) =>
  Layer.effect(
    Planner,
    Effect.gen(function*() {
      const store = yield* Store
      const paths = yield* Paths
      let facts: ReturnType<typeof machineFacts> | undefined
      const cgroupParent = settings.cgroupParent || "/balena-engine"

      const lowerOf = (layers: readonly Address[]): string[] =>
        layers.map((address) => {
          const row = store.layers.get(address)
          if (row === undefined) throw new Error(`${address} is leased, but has no row`)
          return `${paths.layer(row.id)}/diff`
        }).reverse()

      const shmOf = (row: ContainerRow): string | null => {
        const { ipcMode } = row.terms as Terms
        const donor = ipcMode.startsWith("container:")
          ? store.containers.get(ipcMode.slice("container:".length))
          : row
        if (donor === undefined || !offersShm(donor.terms as Terms)) return null
        return bundleOf(paths.execRoot, donor.id).shm
      }

      const inputOf = (row: ContainerRow, terms: Terms): SpecInput => {
        facts ??= machineFacts()
        const shared = sharedNetwork(terms)
        const systemd = settings.cgroupDriver === "systemd" && facts.cgroupVersion === 2
        return {
          terms,
          hostname: hostnameOf(terms, store),
          home: paths.container(shared ?? row.id),
          cgroupsPath: systemd
            ? `${terms.cgroupParent || "system.slice"}:docker:${row.id}`
            : `${terms.cgroupParent || cgroupParent}/${row.id}`,
          machine: facts,
          initPath: settings.initPath || programOf("docker-init") || programOf("tini"),
          findDevices,
          pidOf: (id) => store.containers.get(id)?.state.pid || null,
          shm: shmOf(row),
          sharesIpc: (id) =>
            (store.containers.get(id)?.terms as Terms | undefined)?.ipcMode === "shareable",
        }
      }

      const plan = (row: ContainerRow, network: NetworkState | null): RunPlan => {
        const terms = row.terms as Terms
        return {
          id: row.id,
          lower: lowerOf(row.layers),
          home: paths.container(row.id),
          files: sharedNetwork(terms) === null
            ? hostFilesOf(terms, hostnameOf(terms, store), network, settings, textOf)
            : {},
          folders: terms.volumes,
          spec: (rootfs) => runtimeSpec(inputOf(row, terms), rootfs),
          shmBytes: offersShm(terms) ? terms.shmBytes : null,
          terminal: terms.terminal,
          stdin: terms.stdin,
          stdinOnce: terms.stdinOnce,
          log: terms.log.driver !== "none",
          journal: terms.log.driver === "journald" ? row.name : null,
          endpoint: network,
        }
      }
      return { plan }
    }),
  )
