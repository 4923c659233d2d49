import * as Layer from "effect/Layer"
import { simNetworks } from "../../simulations/world/networks.ts"
import { SimDirectories } from "../../simulations/world/disk.ts"
import { bareRun } from "../../simulations/world/plan.ts"
import { SimProcesses, whim } from "../../simulations/world/processes.ts"
import { Time } from "../../simulations/world/time.ts"
import { claimsOf } from "../../src/engine/claims.ts"
import { Networks, type NetworkState } from "../../src/engine/networks.ts"
import { Database } from "../../src/store/database.ts"
import { StoreBody } from "../../src/store/store.ts"
import { networksContract } from "../contracts/networks.ts"
import { playing } from "./playing.ts"

const BOUND = 9000

for (const seed of [1, 2, 3]) {
  networksContract(`simulated, seed ${seed}`, async () => {
    const time = new Time(seed)
    const { body, stop } = playing(time)
    const processes = new SimProcesses(time, new SimDirectories())
    const store = new StoreBody(new Database(":memory:"))
    const daemon = Layer.sync(Networks, () =>
      simNetworks(claimsOf(store, processes.connected()), (port) => port === BOUND))
    const plan = (id: string, endpoint: NetworkState) =>
      bareRun(id, `/data/containers/${id}`, endpoint)
    return {
      store,
      body: () => Layer.merge(Layer.fresh(daemon), body),
      leave: (id, network) => void processes.create(plan(id, network), whim, Infinity),
      bound: BOUND,
      close: stop,
    }
  })
}
