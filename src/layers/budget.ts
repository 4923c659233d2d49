import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"

/** Milliseconds of a clock that nobody sets. */
export const steadyMs: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos / 1_000_000n),
)

/** What a fetch in flight lets the budget do with it. */
export interface Member {
  readonly id: number
  /** How far into its blob it is. */
  readonly taken: () => number
  /** Bytes of its tar since its last state. */
  readonly output: () => number
}

/** Makes all that these have done durable, and answers the state of each, in order. Throws. */
export type Barrier<M extends Member> = (members: readonly M[]) => readonly Uint8Array[]

export interface BudgetLimits {
  /** Unsaved bytes of blob, summed over all fetches, at which a checkpoint is made. */
  readonly checkpointBytes: number
  /** Unsaved bytes of blob at which receiving waits for the daemon's word. */
  readonly receiveBytes: number
  /** A checkpoint is made no sooner than after this much new: others may be unable to take part. */
  readonly newBytesMin: number
  readonly outputBytes: number
  readonly intervalMs: number
  readonly intervalBytesMin: number
  /** How long a checkpoint waits for fetches that wait for their registry. */
  readonly starvedMs: number
}

/**
 * At most 16 MiB of blob may have to be sent again after a power cut: 7 here, and what a registry
 * has sent of two connections that nobody reads. Linux lets each gather 4 MiB to be sent
 * (tcp_wmem), and measured they do.
 */
export const LIMITS: BudgetLimits = {
  checkpointBytes: 6 * 1024 * 1024,
  receiveBytes: 7 * 1024 * 1024,
  newBytesMin: 1024 * 1024,
  outputBytes: 32 * 1024 * 1024,
  intervalMs: 30_000,
  intervalBytesMin: 256 * 1024,
  starvedMs: 1_000,
}

export interface Checkpoint {
  readonly checkpoint: number
  readonly states: readonly { readonly id: number; readonly state: Uint8Array }[]
}

interface Seat<M> {
  readonly member: M
  /** Taken as of the last checkpoint that the daemon has kept. */
  saved: number
  /** Taken as of the checkpoint under way. */
  sent: number
  /** At a boundary, waiting for the others. */
  parked: boolean
  failure: { readonly error: unknown } | null
}

/**
 * One budget for all fetches: when it is used up they all stop at the next place from which their
 * layer could be resumed, and one checkpoint is made of them all. Each fetch asks `due` after every
 * piece, `park`s at its boundary if so, and waits for `room` before it takes more in.
 */
export class Budget<M extends Member> {
  readonly #limits: BudgetLimits
  readonly #barrier: Barrier<M>
  readonly #send: (checkpoint: Checkpoint) => void
  readonly #seats = new Map<number, Seat<M>>()
  /** Open while no checkpoint is being gathered. */
  readonly #released = Latch.makeUnsafe(true)
  /** Open while there is room to receive. */
  readonly #room = Latch.makeUnsafe(true)
  #gathering = false
  /** The checkpoint that the daemon has not answered yet, and whose fetches are in it. */
  #outstanding: { readonly number: number; readonly ids: Set<number> } | null = null
  #number = 0
  /** When the last checkpoint was made, or the first byte came; null: nothing is in flight. */
  #lastMs: number | null = null
  /** Unsaved bytes of layers that have ended: safe once the daemon has committed their end. */
  #ended = 0
  #endedSent = 0
  #takenAtLast = 0
  #takenInAll = 0

  constructor(
    barrier: Barrier<M>,
    send: (checkpoint: Checkpoint) => void,
    limits: BudgetLimits = LIMITS,
  ) {
    this.#barrier = barrier
    this.#send = send
    this.#limits = limits
  }

  join(member: M): void {
    const saved = member.taken()
    this.#seats.set(member.id, { member, saved, sent: saved, parked: false, failure: null })
  }

  /** `complete`: its layer is whole and on the disk; the daemon will say so in its own commit. */
  leave(id: number, complete: boolean): void {
    const seat = this.#seats.get(id)
    if (seat === undefined) return
    this.#seats.delete(id)
    if (complete) this.#ended += seat.member.taken() - seat.saved
    // Nobody is left whom the answer would concern: the others need not wait for it.
    this.#outstanding?.ids.delete(id)
    if (this.#outstanding?.ids.size === 0) this.#outstanding = null
    if (this.#seats.size === 0) {
      this.#lastMs = null
      this.#release()
    } else if (this.#gathering && this.#everyoneParked()) this.#checkpoint()
    else this.#updateRoom()
  }

  /** Is it time to stop at the next boundary? Called after each piece taken in. */
  due(id: number, bytes: number): Effect.Effect<boolean> {
    return Effect.map(steadyMs, (nowMs) => {
      this.#takenInAll += bytes
      this.#lastMs ??= nowMs
      const free = !this.#gathering && this.#outstanding === null
      if (free && this.#isDue(nowMs - this.#lastMs)) {
        this.#gathering = true
        this.#lastMs = nowMs
        this.#released.closeUnsafe()
      }
      this.#updateRoom()
      return this.#gathering && this.#seats.get(id)?.parked === false
    })
  }

  #isDue(elapsedMs: number): boolean {
    const { checkpointBytes, newBytesMin, outputBytes, intervalMs, intervalBytesMin } = this.#limits
    const recent = this.#takenInAll - this.#takenAtLast
    if (recent >= newBytesMin && this.#unsaved() >= checkpointBytes) return true
    if (this.#unsavedOutput() >= outputBytes) return true
    return recent >= intervalBytesMin && elapsedMs >= intervalMs
  }

  #unsaved(): number {
    let bytes = this.#ended
    for (const { member, saved } of this.#seats.values()) bytes += member.taken() - saved
    return bytes
  }

  #unsavedOutput(): number {
    let bytes = 0
    for (const { member } of this.#seats.values()) bytes += member.output()
    return bytes
  }

  /**
   * At a boundary: waits until the checkpoint has been made. Whoever comes last makes it; one that
   * waits for its registry is not waited for. Fails with what the barrier threw.
   */
  park(id: number): Effect.Effect<void, unknown> {
    return Effect.gen({ self: this }, function*() {
      const seat = this.#seats.get(id)
      if (seat === undefined || !this.#gathering) return
      seat.parked = true
      if (this.#everyoneParked()) this.#checkpoint()
      else yield* Effect.timeoutOption(this.#released.await, this.#limits.starvedMs)
      if (this.#gathering) this.#checkpoint()
      if (seat.failure !== null) return yield* Effect.fail(seat.failure.error)
    })
  }

  #everyoneParked(): boolean {
    return [...this.#seats.values()].every(({ parked }) => parked)
  }

  #checkpoint(): void {
    const parked = [...this.#seats.values()].filter(({ parked }) => parked)
    try {
      const states = this.#barrier(parked.map(({ member }) => member))
      const number = ++this.#number
      this.#outstanding = { number, ids: new Set(parked.map(({ member }) => member.id)) }
      this.#endedSent = this.#ended
      for (const seat of parked) seat.sent = seat.member.taken()
      this.#send({
        checkpoint: number,
        states: parked.map(({ member: { id } }, index) => ({ id, state: states[index]! })),
      })
    } catch (error) {
      for (const seat of parked) seat.failure = { error }
    }
    for (const seat of parked) seat.parked = false
    this.#takenAtLast = this.#takenInAll
    this.#release()
  }

  #release(): void {
    this.#gathering = false
    this.#released.openUnsafe()
    this.#updateRoom()
  }

  /** The daemon has made a checkpoint durable. */
  saved(checkpoint: number): void {
    if (checkpoint !== this.#outstanding?.number) return
    this.#outstanding = null
    for (const seat of this.#seats.values()) seat.saved = seat.sent
    this.#ended -= this.#endedSent
    this.#endedSent = 0
    this.#updateRoom()
  }

  /** Waits until more may be received. */
  readonly room: Effect.Effect<void> = this.#room.await

  #updateRoom(): void {
    // Only while the daemon is asked: else the way to room leads through the next boundary.
    const full = this.#outstanding !== null && this.#unsaved() >= this.#limits.receiveBytes
    if (full) this.#room.closeUnsafe()
    else this.#room.openUnsafe()
  }
}
