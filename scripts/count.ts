import { writeFileSync } from "node:fs"
import type { Reporter, TestModule } from "vitest/node"

/** Counts tests for scripts/run.mjs, which adds them up with what types and lint said. */
export default class Count implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 }
    for (const module of modules) {
      // A file that cannot be loaded has no tests, but it has not passed.
      if (module.errors().length > 0) counts.failed += 1
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed" || state === "failed") counts[state] += 1
        else counts.skipped += 1
      }
    }
    const path = process.env["TEST_COUNTS"]
    if (path !== undefined) writeFileSync(path, JSON.stringify(counts))
  }
}
