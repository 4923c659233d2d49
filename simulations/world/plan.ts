import type { RunPlan } from "../../src/kernel/runtime.ts"

/** The plan of a container that has nothing but a home and its place on a network. */
export const bareRun = (id: string, home: string, endpoint: RunPlan["endpoint"]): RunPlan => ({
  id,
  lower: [],
  home,
  files: {},
  folders: [],
  shmBytes: null,
  spec: () => ({}),
  terminal: false,
  stdin: false,
  stdinOnce: false,
  log: true,
  journal: null,
  endpoint,
})
