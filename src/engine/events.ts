import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { keyOf, nounOf } from "../../machines/words.ts"
import { signalNumber } from "../kernel/processes.ts"
import { parseImageConfig } from "../oci/image-config.ts"
import { familiarReference, familiarRepository, parseReference } from "../oci/reference.ts"
import type { Terms } from "../oci/terms.ts"
import type { NamesCargo, RemovalCargo } from "../store/images.ts"
import { Store, type StoreBody } from "../store/store.ts"
import { Loop } from "./loop.ts"
import { type NetworkName, networkOf, NETWORKS } from "./networks.ts"
import type { Transition } from "./step.ts"

/** Something a client of the events stream hears of. */
export interface EngineEvent {
  readonly type: "container" | "image" | "network"
  /** Docker's words: `create`, `start`, `die`, `destroy`, `pull`, `tag`, … */
  readonly action: string
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  readonly wallMs: number
}

/** Of the past, for `since`. */
const KEPT = 256

/** What containers were called, for events that come after their row is gone. */
interface Known {
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** null: another container's. */
  readonly network: NetworkName | null
  readonly stopSignal: string
}

const CONTAINER_ACTIONS: Readonly<Record<string, string>> = {
  create: "create",
  started: "start",
  frozen: "pause",
  thawed: "unpause",
  rename: "rename",
  update: "update",
}

/** Docker's events out of the loop's transitions: told once durable, and kept only in memory. */
export class EventsBody {
  readonly #store: StoreBody
  readonly #known = new Map<string, Known>()
  readonly #listeners = new Set<(event: EngineEvent) => void>()
  /** Those that a client stopped or restarted, from their end until they are cleaned. */
  readonly #stopped = new Set<string>()
  #kept: EngineEvent[] = []

  constructor(store: StoreBody) {
    this.#store = store
    for (const row of store.containers.all()) this.#learn(row.id)
  }

  listen(listener: (event: EngineEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
  since(wallMs: number): readonly EngineEvent[] {
    return this.#kept.filter((event) => event.wallMs >= wallMs)
  }

  /** Turns one transition into the events it is, if any. */
  hear(transition: Transition): void {
    const noun = nounOf(transition.address)
    if (noun === "container") this.#container(transition)
    else if (noun === "image") this.#image(transition)
    else if (noun === "push") this.#push(transition)
  }

  /** Says something that is no transition: an attach, a resize. */
  tell(action: string, id: string, extra: Readonly<Record<string, string>>, wallMs: number): void {
    const known = this.#known.get(id)
    if (known === undefined) return
    const attributes = { ...known.labels, ...extra, image: known.image, name: known.name }
    this.#publish({ type: "container", action, id, attributes, wallMs })
  }

  #container({ address, event, before, snapshot, commands, done, at }: Transition): void {
    const id = keyOf(address)
    const say = (action: string, extra: Readonly<Record<string, string>> = {}) =>
      this.tell(action, id, extra, at.wallMs)
    const old = this.#known.get(id)
    if (["create", "rename", "update"].includes(event.type)) this.#learn(id)
    const { wish } = snapshot.context as { readonly wish: string }
    for (const { type, params } of commands) {
      if (type === "run.kill") say("kill", signalIs(params.signal))
      // One that is to go was killed at once: what the timer adds is the same signal once more.
      if (type !== "run.signal" || (wish === "leave" && event.type.startsWith("xstate."))) continue
      say("kill", signalIs(signalSent(params.signal, old?.stopSignal)))
    }
    if (event.type === "started") this.#network("connect", id, at.wallMs)
    if (event.type === "exited") {
      if (event["oomKilled"] === true) say("oom")
      say("die", { exitCode: String(event["exitCode"]) })
      if (wish === "stop" || wish === "run") this.#stopped.add(id)
      this.#network("disconnect", id, at.wallMs)
    }
    if (event.type === "cleaned" && this.#stopped.delete(id)) say("stop")
    const action = CONTAINER_ACTIONS[event.type]
    if (action === "rename") say(action, { oldName: `/${old?.name}` })
    else if (action !== undefined) say(action)
    const gone = snapshot.matches("leaving") || (done && before !== "leaving")
    if (!gone || before === "removing" && !done) return
    if (this.#known.has(id) && this.#store.containers.get(id) === undefined) {
      say("destroy")
      this.#known.delete(id)
    }
  }

  #push({ snapshot, at }: Transition): void {
    if (!snapshot.matches("pushed")) return
    const { imageId, reference } = snapshot.context as { imageId: string; reference: string }
    const name = familiar(reference, familiarRepository)
    const attributes = { ...this.#imageLabels(imageId), name }
    const id = familiar(reference)
    this.#publish({ type: "image", action: "push", id, attributes, wallMs: at.wallMs })
  }

  #image({ event, snapshot, at }: Transition): void {
    const { imageId, reference } = snapshot.context as { imageId: string; reference: string }
    const say = (action: string, id: string, name: string) => {
      const attributes = { ...this.#imageLabels(id.startsWith("sha256:") ? id : imageId), name }
      this.#publish({ type: "image", action, id, attributes, wallMs: at.wallMs })
    }
    if (snapshot.matches("ready") || snapshot.matches("present")) {
      const name = reference === "" ? imageId : familiar(reference)
      say(reference === "" ? "load" : "pull", reference === "" ? imageId : name, name)
    } else if (event.type === "tag") {
      const row = event["row"] as NamesCargo
      if (row.loaded === true) say("load", row.imageId, row.imageId)
      else for (const tag of row.tags) say("tag", row.imageId, familiar(tag))
    } else if (event.type === "remove") {
      const row = event["row"] as RemovalCargo
      for (const _ of [...row.tags, ...row.digests]) say("untag", row.imageId, row.imageId)
      if (row.forget) say("delete", row.imageId, row.imageId)
    }
  }

  /** A container joins the network it asked for, or leaves it. */
  #network(action: "connect" | "disconnect", container: string, wallMs: number): void {
    const name = this.#known.get(container)?.network ?? null
    if (name === null) return
    const { id, driver } = NETWORKS[name]
    const attributes = { container, name, type: driver }
    this.#publish({ type: "network", action, id, attributes, wallMs })
  }

  #imageLabels(id: string): Readonly<Record<string, string>> {
    const row = this.#store.images.get(id)
    return row === undefined ? {} : Result.match(parseImageConfig(row.config), {
      onSuccess: ({ config }) => config.labels,
      onFailure: () => ({}),
    })
  }

  #learn(id: string): void {
    const row = this.#store.containers.get(id)
    if (row === undefined) return
    const terms = row.terms as Terms
    this.#known.set(id, {
      name: row.name,
      image: row.imageName,
      labels: terms.labels,
      network: networkOf(terms),
      stopSignal: terms.stopSignal,
    })
  }

  #publish(event: EngineEvent): void {
    this.#kept = [...this.#kept.slice(1 - KEPT), event]
    for (const listener of [...this.#listeners]) listener(event)
  }
}

const familiar = (reference: string, show = familiarReference): string =>
  Result.match(parseReference(reference), {
    onSuccess: show,
    onFailure: () => reference,
  })

const signalSent = (which: "stop" | "kill", stopSignal = "SIGTERM"): string =>
  which === "kill" ? "SIGKILL" : stopSignal

/** Docker says signals by their numbers. */
const signalIs = (name: string) => ({ signal: String(signalNumber(name) ?? name) })

/** The events of this engine, from the moment it listens. */
export class Events extends Context.Service<Events, EventsBody>()("engine/Events") {
  static readonly body = Layer.effect(
    Events,
    Effect.gen(function*() {
      const loop = yield* Loop
      const events = new EventsBody(yield* Store)
      loop.listen((transition) => events.hear(transition))
      return events
    }),
  )
}
