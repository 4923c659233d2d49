import { defineConfig } from "vitest/config"

/**
 * `unit` needs no daemon; `whole` starts real ones, each in a corner of the machine of its own: two
 * files at a time pass as well, but what is compared with dockerd wants the machine for itself.
 */
const ROOMS = ["api", "crash", "differential", "e2e", "powercut"]
const WHOLE = ROOMS.map((room) => `test/${room}/**/*.test.ts`)

export default defineConfig({
  test: {
    pool: "forks", // mounts, namespaces and signals belong to a process, not to a thread
    testTimeout: 900_000, // only against hanging: no test measures time
    hookTimeout: 900_000,
    reporters: ["default", "./scripts/count.ts"],
    projects: [
      {
        extends: true,
        test: { name: "unit", include: ["test/**/*.test.ts"], exclude: WHOLE },
      },
      {
        extends: true,
        test: { name: "whole", include: WHOLE, fileParallelism: false },
      },
    ],
  },
})
