import type { FlushCalls } from "./flush.ts"

/** How much may be dirty at once; twice that while the disk writes the batch before. */
export interface BatchSize {
  readonly bytes: number
  readonly files: number
}

/**
 * Measured (a Debian tree, ext4): larger batches win nothing, and this much fits a small memory.
 */
export const BATCH: BatchSize = { bytes: 2 << 20, files: 128 }

/**
 * Writes files back while they are being made, so that a barrier finds little to wait for and the
 * page cache does not grow. Complete files gather to a batch; a full batch begins to be written,
 * the one before it is waited for, dropped from the page cache and closed.
 */
export class WriteBack {
  readonly #calls: FlushCalls
  readonly #size: BatchSize
  #gathering: number[] = []
  #gatheringBytes = 0
  #writing: number[] = []

  constructor(calls: FlushCalls, size: BatchSize = BATCH) {
    this.#calls = calls
    this.#size = size
  }

  /** Takes over a complete file with about `bytes` of it still dirty. */
  add(fd: number, bytes: number): void {
    this.#gathering.push(fd)
    this.#gatheringBytes += bytes
    if (this.#gathering.length >= this.#size.files || this.#gatheringBytes >= this.#size.bytes) {
      this.#turn()
    }
  }

  /** Waits until all files taken over are written, and closes them. */
  settle(): void {
    this.#turn()
    this.#turn()
  }

  /** Closes everything; what was not yet written may be lost. */
  abandon(): void {
    for (const fd of [...this.#writing, ...this.#gathering]) this.#calls.close(fd)
    this.#gathering = []
    this.#writing = []
  }

  #turn(): void {
    for (const fd of this.#gathering) this.#calls.begin(fd, 0, 0)
    for (let fd = this.#writing.pop(); fd !== undefined; fd = this.#writing.pop()) {
      try {
        this.#calls.wait(fd, 0, 0)
        this.#calls.drop(fd, 0, 0)
      } finally {
        this.#calls.close(fd)
      }
    }
    this.#writing = this.#gathering
    this.#gathering = []
    this.#gatheringBytes = 0
  }
}

/**
 * Writes one growing file back in steps: a step is begun once full and waited for when the next one
 * is, so a large file never has more than two steps dirty.
 */
export class Steps {
  readonly #calls: FlushCalls
  readonly #fd: number
  readonly #step: number
  #waited: number
  #begun: number

  /** `from`: bytes before it are clean. */
  constructor(calls: FlushCalls, fd: number, from: number, step = BATCH.bytes) {
    this.#calls = calls
    this.#fd = fd
    this.#step = step
    this.#waited = this.#begun = from
  }

  /** The file was written up to `position`. */
  reached(position: number): void {
    if (position - this.#begun < this.#step) return
    this.#calls.begin(this.#fd, this.#begun, position - this.#begun)
    this.#await(this.#begun)
    this.#begun = position
  }

  /** Bytes before `position` of which nothing was yet waited for. */
  dirty(position: number): number {
    return position - this.#waited
  }

  /** Waits for everything written so far. */
  settle(position: number): void {
    this.#calls.wait(this.#fd, 0, 0)
    this.#calls.drop(this.#fd, 0, 0)
    this.#waited = this.#begun = position
  }

  #await(end: number): void {
    if (end > this.#waited) {
      this.#calls.wait(this.#fd, this.#waited, end - this.#waited)
      this.#calls.drop(this.#fd, this.#waited, end - this.#waited)
    }
    this.#waited = end
  }
}
