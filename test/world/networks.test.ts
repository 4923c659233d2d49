import * as Layer from "effect/Layer"
import { simNetworks } from "../../simulations/world/networks.ts"
import { Time } from "../../simulations/world/time.ts"
import { claimsIn } from "../../src/engine/claims.ts"
import { Networks } from "../../src/engine/networks.ts"
import { Database } from "../../src/store/database.ts"
import { StoreBody } from "../../src/store/store.ts"
import { networksContract } from "../contracts/networks.ts"
import { playing } from "./playing.ts"

const BOUND = 9000

for (const seed of [1, 2, 3]) {
  networksContract(`simulated, seed ${seed}`, async () => {
    const { body, stop } = playing(new Time(seed))
    const store = new StoreBody(new Database(":memory:"))
    const daemon = Layer.sync(Networks, () =>
      simNetworks(claimsIn(store), (port) => port === BOUND))
    return { store, body: () => Layer.merge(Layer.fresh(daemon), body), bound: BOUND, close: stop }
  })
}
