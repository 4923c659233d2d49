import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import { Life, type Time } from "../../simulations/world/time.ts"

/** Steps of simulated time between two turns of the real loop. */
const STEPS = 50

/** A simulated time that passes beside real code, for suites that know nothing of it. */
export interface Playing {
  /** Makes what runs with it wait by simulated time, in an order that the seed chooses. */
  readonly body: Layer.Layer<never>
  readonly stop: () => void
}

export const playing = (time: Time): Playing => {
  const life = new Life()
  const context = Context.make(Scheduler.Scheduler, time.scheduler(life)).pipe(
    Context.add(Clock.Clock, time.clock(life)),
  )
  let turn: NodeJS.Immediate
  const play = () => {
    time.run(STEPS)
    turn = setImmediate(play)
  }
  turn = setImmediate(play)
  return { body: Layer.succeedContext(context), stop: () => clearImmediate(turn) }
}
