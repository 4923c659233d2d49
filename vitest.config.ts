import { defineConfig } from "vitest/config"

/** `unit` needs no daemon; `whole` starts real ones, each in a corner of the machine of its own. */
const ROOMS = ["api", "crash", "differential", "e2e", "powercut"]
const WHOLE = ROOMS.map((room) => `test/${room}/**/*.test.ts`)

export default defineConfig({
  test: {
    maxWorkers: 2, // much of it is waiting; more than two would wait for the disk
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
        test: { name: "whole", include: WHOLE },
      },
    ],
  },
})
