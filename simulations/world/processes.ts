import type { Endpoint } from "../../src/kernel/links.ts"
import type { Attachment, Exit, RunPlan, Started } from "../../src/kernel/runtime.ts"
import { type SimDirectories, Violation } from "./disk.ts"
import { Life, type Time } from "./time.ts"

/** What runs in a simulated container, as far as anybody outside of it can tell. */
export interface Program {
  readonly begin: (self: Process) => void
  /** Something came on its stdin; null: that was all. Without this, nobody reads it. */
  readonly hear?: (self: Process, data: Buffer | null) => void
  /** A signal that may be caught. Without this, it ends. */
  readonly signal?: (self: Process, number: number) => void
}

const SIGKILL = 9
/** A process takes a moment to die. */
const DYING_MS = 50

/** What is not told otherwise: it may end by itself, with any code, and may ignore a signal. */
export const whim: Program = {
  begin: (self) => {
    if (!self.time.chance(0.7)) return
    const exitCode = self.time.chance(0.5) ? 0 : self.time.between(1, 100)
    self.later(self.time.between(1, 20_000), () => self.exit(exitCode))
  },
  signal: (self, number) => {
    if (self.time.chance(0.7)) self.die(number)
  },
}

interface Packet {
  readonly stream: 1 | 2
  readonly data: Buffer
}

/**
 * A container's first process, with what conmon does for it: streams, and the word of its end.
 * Nothing happens in it while it is frozen; what comes meanwhile waits.
 */
export class Process implements Started {
  readonly time: Time
  readonly pid: number
  readonly startTicks: number
  readonly plan: RunPlan
  readonly memoryMax: number
  exitOf: Exit | null = null
  readonly waiters = new Set<() => void>()
  readonly clients = new Set<Client>()
  readonly #life: Life
  readonly #program: Program
  readonly #ended: (exit: Exit) => void
  readonly #written: (bytes: number) => void
  #frozen = false
  #pending: (() => void)[] = []
  #stdinOpen: boolean

  constructor(needs: {
    readonly time: Time
    readonly life: Life
    readonly pid: number
    readonly plan: RunPlan
    readonly memoryMax: number
    readonly program: Program
    readonly ended: (exit: Exit) => void
    readonly written: (bytes: number) => void
  }) {
    this.time = needs.time
    this.#life = needs.life
    this.pid = needs.pid
    this.startTicks = Math.floor(needs.time.monoMs / 10)
    this.plan = needs.plan
    this.memoryMax = needs.memoryMax
    this.#program = needs.program
    this.#ended = needs.ended
    this.#written = needs.written
    this.#stdinOpen = needs.plan.stdin
  }

  begin(): void {
    this.#program.begin(this)
    if (!this.#stdinOpen) this.#program.hear?.(this, null) // it has /dev/null
  }

  /** Does something of its own in a while, unless it has ended by then. */
  later(delayMs: number, act: () => void): void {
    this.time.later(this.#life, delayMs, () => this.#do(act))
  }

  print(stream: 1 | 2, text: string | Buffer): void {
    const data = Buffer.from(text)
    if (this.plan.log) this.#written(data.length)
    const packet = { stream: this.plan.terminal ? 1 : stream, data }
    for (const client of this.clients) client.push(packet)
  }

  /** Takes memory, or dies of it. */
  take(bytes: number): void {
    if (bytes > this.memoryMax) this.end({ exitCode: 128 + SIGKILL, oomKilled: true })
  }

  exit(exitCode: number): void {
    this.end({ exitCode, oomKilled: false })
  }

  /** Dies of a signal, in a moment. */
  die(number: number): void {
    this.later(this.time.between(0, DYING_MS), () => this.exit(128 + number))
  }

  signal(number: number): void {
    this.#do(() => {
      const { signal } = this.#program
      if (signal === undefined || number === SIGKILL) this.die(number)
      else signal(this, number)
    })
  }

  /** Something a client sent; null: the first one has left, or will send no more. */
  hear(data: Buffer | null): void {
    const { terminal, stdinOnce } = this.plan
    if (data === null && (terminal || !stdinOnce)) return
    this.#do(() => {
      if (!this.#stdinOpen) return
      if (data === null) this.#stdinOpen = false
      this.#program.hear?.(this, data)
    })
  }

  freeze(): void {
    this.#frozen = true
  }

  thaw(): void {
    this.#frozen = false
    for (const act of this.#pending.splice(0)) this.#do(act)
  }

  end(exit: Exit): void {
    if (this.exitOf !== null) return
    this.exitOf = exit
    this.#ended(exit)
    for (const client of [...this.clients]) client.push(null)
    for (const wake of [...this.waiters]) wake()
  }

  #do(act: () => void): void {
    if (this.exitOf !== null) return
    if (this.#frozen) this.#pending.push(act)
    else act()
  }
}

/** A client's connection to a process. It is the daemon's, so it lives no longer than that. */
export class Client implements Attachment {
  readonly #time: Time
  readonly #life: Life
  readonly #process: Process
  readonly #queue: (Packet | null)[] = []
  #onData: (stream: 1 | 2, data: Buffer) => boolean = () => false
  #onEnd = () => {}
  #open = true
  #reads = false
  #turns = false

  constructor(time: Time, life: Life, process: Process) {
    this.#time = time
    this.#life = life
    this.#process = process
    process.clients.add(this)
  }

  read(onData: (stream: 1 | 2, data: Buffer) => boolean, onEnd: () => void): void {
    this.#onData = onData
    this.#onEnd = onEnd
    this.resume()
  }

  resume(): void {
    this.#reads = true
    this.#turn()
  }

  /** What it is to read next; null: there is no more. */
  push(packet: Packet | null): void {
    this.#queue.push(packet)
    this.#turn()
  }

  write(data: Buffer, onDrain: () => void): boolean {
    if (!this.#open) return true
    this.#process.later(0, () => this.#process.hear(data))
    if (this.#time.chance(0.5)) return true
    this.#time.later(this.#life, 1, onDrain)
    return false
  }

  closeStdin(): void {
    if (this.#open) this.#process.later(0, () => this.#process.hear(null))
  }

  close(): void {
    this.closeStdin() // before it is closed: as with a socket, one follows from the other
    this.#open = false
    this.#process.clients.delete(this)
  }

  /** One packet after the other, each in a turn of its own. */
  #turn(): void {
    if (this.#turns || !this.#reads || !this.#open || this.#queue.length === 0) return
    this.#turns = true
    this.#time.later(this.#life, 0, () => {
      this.#turns = false
      if (!this.#open) return
      const packet = this.#queue.shift()!
      if (packet === null) {
        this.close()
        this.#onEnd()
      } else if (!this.#onData(packet.stream, packet.data)) this.#reads = false
      this.#turn()
    })
  }
}

/**
 * The simulated kernel's processes: they live on when the engine is killed, and end with the power.
 * `made` is everything a start leaves in the kernel; a clean must take it away.
 */
export class SimProcesses {
  readonly all = new Map<string, Process>()
  readonly made = new Set<string>()
  readonly #time: Time
  readonly #directories: SimDirectories
  /** Exit codes as conmon writes them down, by the container's home. */
  readonly #exits = new Map<string, Exit>()
  /** Bytes in the newest log, by the container's home. */
  readonly #logs = new Map<string, number>()
  #life = new Life()
  #pids = 100

  constructor(time: Time, directories: SimDirectories) {
    this.#time = time
    this.#directories = directories
  }

  /** What comes before the first process. The last run's exit code is gone for good from here. */
  prepare({ id, home, log }: RunPlan): void {
    this.made.add(id)
    this.#directories.make(home)
    this.#exits.delete(home)
    if (log) this.#logs.set(home, this.#logs.get(home) ?? 0)
  }

  create(plan: RunPlan, program: Program, memoryMax: number): Process {
    const there = this.all.get(plan.id)
    if (there?.exitOf === null) throw new Violation(`${plan.id} runs twice`)
    const process = new Process({
      time: this.#time,
      life: this.#life,
      pid: this.#pids++,
      plan,
      memoryMax,
      program,
      ended: (exit) => this.#exits.set(plan.home, exit),
      written: (bytes) => this.#logs.set(plan.home, (this.#logs.get(plan.home) ?? 0) + bytes),
    })
    this.all.set(plan.id, process)
    return process
  }

  /** This very process of a container; another run of it is another one. */
  find(id: string, { pid, startTicks }: Started): Process | undefined {
    const process = this.all.get(id)
    return process?.pid === pid && process.startTicks === startTicks ? process : undefined
  }

  /** What those that were created and not cleaned since have on a network. */
  connected(): readonly (readonly [string, Endpoint])[] {
    return [...this.all].flatMap(([id, { plan }]) =>
      plan.endpoint === null ? [] : [[id, plan.endpoint] as const]
    )
  }

  exitIn(home: string): Exit | undefined {
    return this.#exits.get(home)
  }

  clean(id: string): void {
    this.all.get(id)?.end({ exitCode: 128 + SIGKILL, oomKilled: false })
    this.all.delete(id)
    this.made.delete(id)
  }

  remove(home: string): void {
    this.#directories.remove(home)
    this.#exits.delete(home)
    this.#logs.delete(home)
  }

  /** Begins a new log where this one has grown so far; one that is not there is begun, too. */
  rotate(home: string, bytes: number): boolean {
    const logged = this.#logs.get(home) ?? Infinity
    if (logged >= bytes) this.#logs.set(home, 0)
    return logged >= bytes
  }

  /** The power fails: nothing of the kernel is left, and an exit code may not have come so far. */
  cut(): void {
    this.#life.alive = false
    this.#life = new Life()
    this.all.clear()
    this.made.clear()
    for (const home of this.#exits.keys()) {
      if (this.#time.chance(0.5)) this.#exits.delete(home)
    }
  }
}
