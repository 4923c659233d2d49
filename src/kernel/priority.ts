import { readdirSync, writeFileSync } from "node:fs"
import { setPriority } from "node:os"
import { bind, check } from "./libc.ts"

const libc = {
  prctl: bind(
    "int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)",
  ),
}

const PR_SET_PDEATHSIG = 1
const SIGKILL = 9

/**
 * From now on the kernel kills this process when its parent ends, however that ends (prctl(2)). It
 * says nothing of a parent that has ended already: compare `process.ppid` after this call.
 */
export const dieWithParent = (): void => {
  check(libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl", "PR_SET_PDEATHSIG")
}

/** How much less this process counts than the applications of the device. */
const NICE = 10
const OOM_SCORE_ADJ = 500

/**
 * Gives way to everything else: every thread at a low priority (on Linux it belongs to the thread),
 * and first in line where memory runs out. A kernel without one of the two is no reason to stop.
 */
export const giveWay = (): void => {
  for (const thread of readdirSync("/proc/self/task")) {
    quietly(() => setPriority(Number(thread), NICE))
  }
  quietly(() => setOomScore(OOM_SCORE_ADJ))
}

/** How early this process is ended where memory runs out: -1000 never, 1000 first (proc(5)). */
export const setOomScore = (score: number): void =>
  writeFileSync("/proc/self/oom_score_adj", String(score))

const quietly = (attempt: () => void): void => {
  try {
    attempt()
  } catch {
    // Not permitted here: the work is the same, only less polite.
  }
}
