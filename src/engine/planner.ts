import * as Context from "effect/Context"
import type { RunPlan } from "../kernel/runtime.ts"
import type { ContainerRow } from "../store/containers.ts"
import type { NetworkState } from "./networks.ts"

/** Makes the plan of a start from a container's row: pure, but for what the machine is like. */
export class Planner extends Context.Service<Planner, {
  readonly plan: (row: ContainerRow, network: NetworkState | null) => RunPlan
}>()("engine/Planner") {}
