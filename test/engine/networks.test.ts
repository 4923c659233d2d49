import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { type AddressInfo, createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { networksLinux } from "../../src/engine/bridge.ts"
import { bootId } from "../../src/kernel/processes.ts"
import { bodyLinux as runtimeLinux } from "../../src/kernel/runtime-linux.ts"
import { bundleOf, makeBundle, writeRecord } from "../../src/kernel/bundle.ts"
import { bind, check } from "../../src/kernel/libc.ts"
import { removeBridge } from "../../src/kernel/links.ts"
import { programOf } from "../../src/kernel/probe.ts"
import { readSettings, type Settings } from "../../src/settings.ts"
import { Database } from "../../src/store/database.ts"
import { Store, StoreBody } from "../../src/store/store.ts"
import { networksContract, type NetworksWorld } from "../contracts/networks.ts"

const CLONE_NEWNET = 0x40000000
const unshare = bind("int unshare(int flags)")
const BRIDGE = "balena0"

const whyNot = (): string | null => {
  if (process.getuid?.() !== 0) return "needs root"
  return programOf("nft") === null ? "needs nft: apt-get install nftables" : null
}

const settings = (): Settings => {
  const read = Result.getOrThrow(readSettings(["--bip", "10.214.0.1/24"],
    () => null))
  if (read.action !== "run") throw new Error("no settings")
  return read.settings
}

const listening = async (): Promise<Server> => {
  const server = createServer().listen(0, "0.0.0.0")
  await once(server, "listening")
  return server
}

let isApart = false
/** This process leaves for a network namespace of its own: the machine sees nothing of it. */
const depart = (): void => {
  if (!isApart) check(unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET")
  isApart = true
}

const linuxWorld = async (): Promise<NetworksWorld> => {
  depart()
  const store = new StoreBody(new Database(":memory:"))
  const server = await listening()
  const execRoot = mkdtempSync(join(tmpdir(), "be-networks-"))
  const body = networksLinux(settings()).pipe(Layer.provide(Layer.merge(
    Layer.succeed(Store, store),
    runtimeLinux({ execRoot, runtime: null, cgroupParent: "/" }),
  )))
  return {
    store,
    body: () => Layer.fresh(body),
    leave: (id, endpoint) => {
      const bundle = bundleOf(execRoot, id)
      makeBundle(bundle)
      writeRecord(bundle, {
        boot: bootId(),
        runtime: { name: "crun", path: "crun", hideUnified: false },
        state: execRoot,
        cgroup: `/${id}`,
        conmon: null,
        init: null,
        endpoint,
      })
    },
    bound: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      removeBridge(BRIDGE)
      rmSync(execRoot, { recursive: true })
    },
  }
}

networksContract("Linux", linuxWorld, whyNot())
