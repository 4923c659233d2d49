import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Address } from "../../machines/words.ts"
import type { CommandRow } from "../store/journal.ts"
import type { Hand, Hands, MachineEvent, Order } from "./hand.ts"

type Answer = (command: number, event: MachineEvent | null, last: boolean) => void

/** A hand that met a defect is tried again after this long, doubled up to the longest. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

interface Running {
  readonly kind: Hand["kind"]
  readonly fiber: Fiber.Fiber<unknown>
}

/**
 * Carries out commands that are durable. A command on a thing whose last long hand was interrupted
 * waits until that one has really ended: interrupting a fiber returns at once, while the system
 * call or the child process goes on.
 */
export class Dispatcher {
  hands: Hands = {}
  readonly #run: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>
  readonly #answer: Answer
  readonly #running = new Map<number, Running>()
  readonly #closing = new Map<Address, Set<Fiber.Fiber<unknown>>>()
  #stopped = false

  constructor(context: Context.Context<never>, answer: Answer) {
    this.#run = Effect.runForkWith(context)
    this.#answer = answer
  }

  first(row: CommandRow): void {
    this.#start(row, "first")
  }

  /** Is a hand carrying out this very command now? */
  isAtWork(row: CommandRow): boolean {
    return this.#running.has(row.id)
  }

  /** After a crash: what may be done twice is done again, what may not is answered as lost. */
  again(row: CommandRow, attempt: "after-crash" | "after-reboot"): void {
    const hand = this.#handOf(row)
    if (hand.kind === "once") this.#answer(row.id, hand.lost ?? null, true)
    else this.#start(row, attempt)
  }

  /**
   * The command's row is gone: its hand, if it can be, is interrupted; a late answer finds no row.
   */
  cancel(row: CommandRow): void {
    const running = this.#running.get(row.id)
    if (running === undefined || running.kind !== "long") return
    const closing = this.#closing.get(row.address) ?? new Set()
    this.#closing.set(row.address, closing.add(running.fiber))
    this.#run(Effect.andThen(Fiber.interrupt(running.fiber), Effect.sync(() => {
      closing.delete(running.fiber)
      if (closing.size === 0 && this.#closing.get(row.address) === closing) {
        this.#closing.delete(row.address)
      }
    })))
  }

  /** Interrupts long hands and waits for short ones; rows stay, so the next boot goes on. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    this.#stopped = true
    const running = [...this.#running.values()]
    return Effect.forEach(running, ({ kind, fiber }) =>
      kind === "long" ? Fiber.interrupt(fiber) : Fiber.await(fiber), {
      concurrency: "unbounded",
      discard: true,
    })
  })

  #handOf(row: CommandRow): Hand {
    const hand = this.hands[row.name]
    if (hand === undefined) throw new Error(`no hand for ${row.name}`)
    return hand
  }

  #start(row: CommandRow, attempt: Order["attempt"]): void {
    if (this.#stopped) return
    const hand = this.#handOf(row)
    const order: Order = {
      id: row.id,
      address: row.address,
      params: JSON.parse(row.params),
      attempt,
      answer: (event) => this.#answer(row.id, event, false),
    }
    const closing = [...(this.#closing.get(row.address) ?? [])]
    const work = Effect.andThen(Fiber.awaitAll(closing), this.#persist(hand, order, FIRST_RETRY_MS))
    const fiber = this.#run(Effect.ensuring(
      Effect.map(work, (event) => {
        if (!this.#stopped || event !== undefined) this.#answer(row.id, event ?? null, true)
      }),
      Effect.sync(() => this.#running.delete(row.id)),
    ))
    this.#running.set(row.id, { kind: hand.kind, fiber })
  }

  /** Faults are the hand's to answer; a defect is ours: said aloud, and tried again more slowly. */
  #persist(hand: Hand, order: Order, afterMs: number): Effect.Effect<MachineEvent | void> {
    const attempt = hand.kind === "once"
      ? Effect.uninterruptible(hand.run(order))
      : hand.kind === "short"
      ? Effect.uninterruptible(hand.run(order))
      : hand.run(order)
    const next: Order = { ...order, attempt: "after-crash" }
    const nextMs = Math.min(afterMs * 2, LONGEST_RETRY_MS)
    return Effect.catchDefect(attempt, (defect) =>
      Effect.logError(`${order.address}: command ${order.id} met a defect`, defect).pipe(
        Effect.andThen(
          hand.kind === "once"
            ? Effect.succeed(hand.lost)
            : Effect.andThen(Effect.sleep(afterMs), this.#persist(hand, next, nextMs)),
        ),
      ))
  }
}
