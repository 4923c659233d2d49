import { nounOf } from "../../machines/words.ts"
import type { NetworkState } from "../../src/engine/networks.ts"
import type { Device } from "../world/device.ts"
import { Violation } from "../world/disk.ts"
import type { Promises } from "../workloads/fleet.ts"

/** Safety: true at every moment, whatever has just failed. */
export const checkSafety = (device: Device, promises: Promises): void => {
  if (device.violation !== undefined) throw device.violation
  if (!device.isUp) return
  checkImages(device)
  checkPromises(device, promises)
  for (const [address, { quarantine }] of device.loop.living()) {
    if (quarantine !== null) throw new Violation(`${address} is quarantined: ${quarantine}`)
  }
}

/** What is visible is complete: every layer ready, every ready layer whole on the disk. */
const checkImages = ({ store, directories }: Device): void => {
  for (const { id } of store.images.all()) {
    const config = JSON.parse(Buffer.from(store.images.get(id)!.config).toString())
    const layers = store.images.layers(id)
    if (layers.length !== config.rootfs.diff_ids.length) {
      throw new Violation(`${id} has ${layers.length} of ${config.rootfs.diff_ids.length} layers`)
    }
    for (const address of layers) {
      if (store.layers.get(address)?.ready !== 1) {
        throw new Violation(`${id} stands on ${address}, which is not ready`)
      }
    }
  }
  for (const row of store.layers.all()) {
    const path = `/data/overlay2/${row.id.toString(36)}`
    if (row.ready === 1 && directories.at(path)?.whole !== true) {
      throw new Violation(`${row.address} is ready, but ${path} is not whole`)
    }
  }
}

const checkPromises = ({ store }: Device, { images, containers, removed }: Promises): void => {
  for (const [reference, imageId] of images) {
    if (store.images.byReference(reference) !== imageId) {
      throw new Violation(`the pull of ${reference} was answered, and the image is not there`)
    }
  }
  for (const id of containers) {
    if (store.containers.get(id) === undefined) {
      throw new Violation(`container ${id} was created and never removed, and is not there`)
    }
  }
  for (const id of removed) {
    if (store.containers.get(id) !== undefined) throw new Violation(`container ${id} is back`)
  }
}

/** Hands that may be open for ever: a process runs as long as it likes. */
const ENDLESS = new Set(["run.wait"])

/** Liveness: once the world has healed, everything comes to rest and nothing is left over. */
export const checkRest = (device: Device): void => {
  const { loop, store, directories, processes } = device
  for (const { address, name } of loop.openCommands()) {
    if (!ENDLESS.has(name)) throw new Violation(`${address} still waits for ${name}`)
  }
  for (const [address, { snapshot }] of loop.living()) {
    const rests = snapshot.hasTag("settled") ||
      (nounOf(address) === "image" && snapshot.matches("fetching"))
    if (!rests) {
      throw new Violation(`${address} does not come to rest: ${JSON.stringify(snapshot.value)}`)
    }
  }
  for (const { kept, holder } of store.layers.leases()) {
    if (loop.snapshot(holder) === undefined) {
      throw new Violation(`${holder} is gone and still leases ${kept}`)
    }
  }
  const rows = new Set(store.layers.all().map(({ id }) => id.toString(36)))
  for (const name of directories.names("/data/overlay2")) {
    if (!rows.has(name)) throw new Violation(`directory ${name} belongs to no layer`)
  }
  for (const id of directories.names("/data/containers")) {
    if (loop.snapshot(`container/${id}`) === undefined) {
      throw new Violation(`home ${id} belongs to no container`)
    }
  }
  const unnamed = store.unnamedLayers()
  if (unnamed.size > 0) throw new Violation(`nothing names ${[...unnamed].join(", ")}`)
  for (const id of processes.made) {
    const snapshot = loop.snapshot(`container/${id}`)
    if (snapshot?.hasTag("running") !== true) {
      throw new Violation(`container ${id} left its traces behind`)
    }
  }
  checkClaims(device)
  for (const [address, { snapshot }] of loop.living()) {
    if (nounOf(address) !== "container" || !snapshot.hasTag("running")) continue
    const process = processes.all.get(address.slice("container/".length))
    if (process?.exitOf !== null) {
      throw new Violation(`${address} runs without a process`)
    }
  }
}

/** Who runs has what its row says, and nobody else; who does not run has nothing. */
const checkClaims = ({ claims, loop, store }: Device): void => {
  const runs = (id: string) => loop.snapshot(`container/${id}`)?.hasTag("running") === true
  const addresses = new Map<string, string>()
  for (const [id, { address }] of claims.all()) {
    if (!runs(id)) throw new Violation(`container ${id} does not run and keeps ${address}`)
    const other = addresses.get(address)
    if (other !== undefined) throw new Violation(`${id} and ${other} both have ${address}`)
    addresses.set(address, id)
  }
  for (const { id, state } of store.containers.all()) {
    const given = state.network as NetworkState | null
    if (runs(id) && given?.address !== claims.get(id)?.address) {
      throw new Violation(`container ${id} runs with ${given?.address}, which is not claimed`)
    }
  }
}
