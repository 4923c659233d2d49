import { deltaOf } from "./labels.ts"
export { deltaOf }
const EMPTY = { Hostname: "", Domainname: "", User: "", AttachStdin: false, AttachStdout: false, AttachStderr: false, Tty: false, OpenStdin: false, StdinOnce: false, Env: null, Cmd: null, Image: "", Volumes: null, WorkingDir: "", Entrypoint: null, OnBuild: null, Labels: null }
export const deltaConfig = ({ base, target, diffIds, createdMs }: { base: string; target: Uint8Array; diffIds: readonly string[]; createdMs: number }): Buffer =>
  Buffer.from(JSON.stringify({ created: new Date(createdMs).toISOString(), container_config: EMPTY, config: { ...EMPTY, Labels: { "io.resin.delta.base": base, "io.resin.delta.config": Buffer.from(target).toString() } }, rootfs: { type: "layers", diff_ids: diffIds } }))
