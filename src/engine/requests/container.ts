import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ContainerTerms } from "../../../machines/container.ts"
import { exists } from "../../kernel/presence.ts"
import { Runtime } from "../../kernel/runtime.ts"
import { resourcesOf } from "../../oci/spec.ts"
import type { Terms } from "../../oci/terms.ts"
import { Store } from "../../store/store.ts"
import type { Defaults } from "../defaults.ts"
import { RequestFault } from "../faults.ts"
import { Loop } from "../loop.ts"
import { newName } from "../names.ts"
import type { Transition } from "../step.ts"

/** A container that did not start: `exitCode` is 125, 126 or 127, as its client shall see it. */
export class NotStarted extends Schema.TaggedError<NotStarted>()("NotStarted", {
  exitCode: Schema.Number,
  cause: Schema.String,
}) {}

/** Something asked for that could not be done; the container is as it was. */
export class NotDone extends Schema.TaggedError<NotDone>()("NotDone", {
  cause: Schema.String,
}) {}

/** The source of a bind mount that is not there, and is not to be made. */
export class SourceMissing extends Schema.TaggedError<SourceMissing>()("SourceMissing", {
  path: Schema.String,
}) {}

const addressOf = (id: string) => `container/${id}`

/** What the machine decides on, of all that is agreed. */
export const decisive = ({ restart, autoRemove }: Terms): ContainerTerms => ({
  restart: restart.policy,
  retries: restart.retries,
  autoRemove,
})

export interface Creation {
  readonly id: string
  /** Empty: it shall be given one. */
  readonly name: string
  readonly image: string
  readonly imageName: string
  readonly terms: Terms
  readonly given: unknown
}

const NAMES_TRIED = 6

/** Writes a container down. Its files and mounts are made when it starts. Answers its name. */
export const createContainer = (creation: Creation) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const store = yield* Store
    for (const { kind, source, create } of creation.terms.mounts) {
      if (kind === "bind" && !create && !exists(source)) {
        return yield* new SourceMissing({ path: source })
      }
    }
    const layers = store.images.layers(creation.image)
    const { wallMs: createdMs } = loop.now()
    const terms = decisive(creation.terms)
    const create = (name: string) =>
      Effect.as(
        loop.ask(
          addressOf(creation.id),
          { type: "create", terms, row: { ...creation, name, createdMs, layers } },
          () => true,
        ),
        name,
      )
    if (creation.name !== "") return yield* create(creation.name)
    const invented = (attempt: number): Effect.Effect<string, RequestFault> =>
      Effect.flatMap(newName(attempt), create).pipe(
        Effect.catchIf(
          ({ reason }) => reason === "nameTaken" && attempt < NAMES_TRIED,
          () => invented(attempt + 1),
        ),
      )
    return yield* invented(0)
  })

/** It is gone for its clients: its row and its name are free. */
const isGone = ({ snapshot, done }: Transition): boolean => done || snapshot.matches("leaving")

const gone = (id: string) =>
  new RequestFault({ reason: "missing", address: addressOf(id), state: "", about: id })

type Outcome<E> = Effect.Effect<void, E>

/** How a start ended, whoever asked for it. */
const startOutcome = (id: string) =>
  (transition: Transition): Outcome<NotStarted | RequestFault> | undefined => {
    const { event } = transition
    if (event.type === "started") return Effect.void
    if (event.type === "startFailed") {
      const { exitCode, cause } = event as unknown as { exitCode: number; cause: string }
      return Effect.fail(new NotStarted({ exitCode, cause }))
    }
    return isGone(transition) ? Effect.fail(gone(id)) : undefined
  }

/** Asks, and takes what the outcome says. */
const asking = <E>(
  id: string,
  event: { readonly type: string; readonly [key: string]: unknown },
  outcome: (transition: Transition) => Outcome<E> | undefined,
) => Effect.flatten(Effect.flatMap(Loop, (loop) => loop.ask(addressOf(id), event, outcome)))

/** Starts a container; returns once its process runs. */
export const startContainer = (id: string) => asking(id, { type: "start" }, startOutcome(id))

/** No process of it is left, and none is about to come. */
const isDown = ({ snapshot }: Transition): boolean =>
  !snapshot.hasTag("running") && !snapshot.matches("starting")

const whenDown = (transition: Transition): Outcome<never> | undefined =>
  transition.done || isDown(transition) ? Effect.void : undefined

/** A timer of more than this overflows: three weeks stand for ever. */
const GRACE_MAX_MS = 3 * 7 * 24 * 3_600_000
const GRACE_S = 10

/** How long a stop waits: what is asked, else what was agreed, else 10 s; negative: for ever. */
const graceOf = (askedS: number | null, terms: Terms): number => {
  const seconds = askedS ?? terms.stopTimeoutS ?? GRACE_S
  return seconds < 0 ? GRACE_MAX_MS : Math.min(seconds * 1000, GRACE_MAX_MS)
}

/** Its process has ended, and only its traces are still being cleared away. */
const ENDED: readonly unknown[] = ["cleaning", "failing"]

/**
 * Stops a container; returns once its process has ended. `graceS` null: as agreed. Answers whether
 * there was anything to stop: a process, or a restart to come.
 */
export const stopContainer = (id: string, terms: Terms, graceS: number | null) => {
  let wasDown = false
  const outcome = (transition: Transition) => {
    const { event, before } = transition
    if (event.type === "stop" && ENDED.includes(before)) wasDown = terms.restart.policy === "no"
    return whenDown(transition)
  }
  return Effect.map(
    asking(id, { type: "stop", graceMs: graceOf(graceS, terms) }, outcome),
    () => !wasDown,
  )
}

/** Stops it if it runs, and starts it. */
export const restartContainer = (id: string, terms: Terms, graceS: number | null) =>
  asking(id, { type: "restart", graceMs: graceOf(graceS, terms) }, startOutcome(id))

/**
 * Sends a signal. `last`: it means the end, so the restart policy is silenced, as under dockerd;
 * `deadly`: there is no process after it, and this waits for that.
 */
export const killContainer = (
  id: string,
  signal: string,
  { last, deadly }: { readonly last: boolean; readonly deadly: boolean },
) =>
  asking(id, { type: "kill", signal, last }, (transition): Outcome<never> | undefined => {
    const sent = ["killed", "killLost", "exited"].includes(transition.event.type)
    return (sent && !deadly) ? Effect.void : whenDown(transition)
  })

const failedTo = (what: string) => Effect.fail(new NotDone({ cause: what }))

/** Freezes every process of a container. */
export const pauseContainer = (id: string) =>
  asking(id, { type: "pause" }, (transition): Outcome<NotDone> | undefined => {
    if (transition.event.type === "frozen") return Effect.void
    if (transition.event.type === "thawed") return failedTo("the kernel did not freeze it")
    return isDown(transition) ? failedTo("it has ended") : undefined
  })

export const unpauseContainer = (id: string) =>
  asking(id, { type: "resume" }, (transition): Outcome<NotDone> | undefined => {
    if (transition.event.type === "frozen") return failedTo("the kernel did not thaw it")
    return transition.event.type === "thawed" || isDown(transition) ? Effect.void : undefined
  })

export const renameContainer = (id: string, name: string) =>
  asking(id, { type: "rename", name }, () => Effect.void)

/** Removes a container; returns once it is gone for every client. */
export const removeContainer = (id: string, force: boolean) =>
  asking(id, { type: "remove", force }, (transition): Outcome<NotDone> | undefined => {
    const { event } = transition
    if (event.type === "deleteFailed") return failedTo(String(event["cause"]))
    return isGone(transition) ? Effect.void : undefined
  })

/** Changes limits and restart policy; what runs has the limits before they are written down. */
export const updateContainer = (id: string, terms: Terms, given: unknown, defaults: Defaults) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    const runtime = yield* Runtime
    if (loop.snapshot(addressOf(id))?.hasTag("running") === true) {
      const limits = resourcesOf(terms.resources, defaults.cgroupVersion)
      yield* runtime.limit(id, limits as Readonly<Record<string, never>>)
    }
    const event = { type: "update", terms: decisive(terms), row: { terms, given } }
    yield* loop.ask(addressOf(id), event, () => true)
  })

/** Tells a container's terminal how large it is. */
export const resizeContainer = (id: string, height: number, width: number) =>
  Effect.gen(function*() {
    const loop = yield* Loop
    if (loop.snapshot(addressOf(id))?.hasTag("running") !== true) {
      const address = addressOf(id)
      return yield* new RequestFault({ reason: "refused", address, state: "", about: "resize" })
    }
    const runtime = yield* Runtime
    yield* runtime.resize(id, height, width)
  })
