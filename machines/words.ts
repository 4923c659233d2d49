import type { AnyStateMachine, EventFromLogic, ExecutableActionObject, StateMachine } from "xstate"

/** The nouns that have a machine. An address is `<noun>/<key>`; the engine's is just `engine`. */
export const NOUNS = ["engine", "image", "layer", "delta", "push", "container"] as const
export type Noun = (typeof NOUNS)[number]

/**
 * Where a machine lives: `container/4f2c…`, `layer/sha256:9b1….bottom`,
 * `image/docker.io/library/busybox:latest`, `push/1k3-docker.io/library/busybox:latest`.
 */
export type Address = string

/** The noun of an address. */
export const nounOf = (address: Address): Noun => address.split("/", 1)[0] as Noun

/** The key of an address: everything behind the noun. */
export const keyOf = (address: Address): string => address.slice(address.indexOf("/") + 1)

/**
 * The address of a layer. A layer is kept per diff ID *and* whether it is an image's lowest: a
 * whiteout is only a record there, and a device in any other.
 */
export const layerAddress = (diffId: string, bottom: boolean): Address =>
  `layer/${diffId}${bottom ? ".bottom" : ""}`

/** Declares a command: its implementation does nothing, its parameters say everything. */
export const command = <Params extends object | undefined = undefined>() =>
  (_: unknown, _params: Params): void => {}

/** The commands of a machine, told apart by `type`. (xstate's own type merges them into one.) */
export type CommandOf<M extends AnyStateMachine> =
  M extends StateMachine<
    any, any, any, any, infer Action, any, any, any, any, any, any, any, any, any, any
  >
    ? Extract<Action, { type: `${string}.${string}` }>
    : never

/** One function for each command of a room: a missing or misspelt one does not compile. */
export type Hands<
  M extends AnyStateMachine,
  Room extends string,
  Result = EventFromLogic<M> | void,
> = {
  [C in CommandOf<M> as C["type"] & `${Room}.${string}`]: (params: C["params"]) => Result
}

/** What one machine says to another. */
export interface Message {
  readonly to: Address
  readonly event: { readonly type: string } & Readonly<Record<string, unknown>>
}

/** A timer a machine asks to be set or cancelled; `event` is what comes back when it is due. */
export type Timer =
  | { readonly set: string; readonly event: string; readonly delayMs: number }
  | { readonly cancel: string }

/** A command as plain data: a name with typed, serialisable parameters. */
export interface Command {
  readonly type: string
  readonly params: any
}

/** What one transition asks for, in order, as plain data. */
export interface Asked {
  readonly commands: readonly Command[]
  readonly timers: readonly Timer[]
}

/**
 * Sorts the actions of one transition into commands and timers.
 * A raise without delay is listed by xstate too, but already taken: taking it again would be a bug.
 */
export function asked(actions: readonly ExecutableActionObject[]): Asked {
  const commands: Command[] = []
  const timers: Timer[] = []
  for (const { type, params } of actions as readonly { type: string; params: any }[]) {
    if (type === "xstate.raise") {
      if (params.delay === undefined) continue
      timers.push({ set: params.id, event: params.event.type, delayMs: params.delay })
    } else if (type === "xstate.cancel") timers.push({ cancel: params.sendId })
    else if (type.includes(".") && !type.startsWith("xstate.")) commands.push({ type, params })
    else throw new Error(`a machine asked for ${type}: only commands and timers are data`)
  }
  return { commands, timers }
}
