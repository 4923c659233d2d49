import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { MountTerm } from "./terms.ts"

/** A mount of a runtime spec (runtime-spec, config.md "Mounts"). */
export interface Mount {
  readonly destination: string
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

/** A mount that cannot be made. Worded as Docker words it. */
export class MountFault extends Schema.TaggedError<MountFault>()("MountFault", {
  cause: Schema.String,
}) {}

export interface MountsInput {
  readonly privileged: boolean
  readonly readonlyRootfs: boolean
  readonly shmBytes: number
  /** `private`, `shareable`, `host`, `none` or `container:<id>`. */
  readonly ipcMode: string
  /** On the host: the /dev/shm that it shares with other containers; null: it has its own. */
  readonly shm: string | null
  readonly mounts: readonly MountTerm[]
  /** `<data-root>/containers/<id>`: its hostname, hosts and resolv.conf go to /etc. */
  readonly home: string
  /** docker-init on the host; null: the container has none. */
  readonly initPath: string | null
}

/** Where docker-init is put in the container. */
export const INIT_PATH = "/sbin/docker-init"

const mount = (
  destination: string,
  type: string,
  source: string,
  ...options: readonly string[]
): Mount => ({ destination, type, source, options })

/** What every container has, unless a mount of its own lies at the same place. */
const defaults = (shmBytes: number): readonly Mount[] => [
  mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
  mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
  mount(
    "/dev/pts",
    "devpts",
    "devpts",
    "nosuid",
    "noexec",
    "newinstance",
    "ptmxmode=0666",
    "mode=0620",
    "gid=5",
  ),
  mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
  mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev"),
  mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
  mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", `size=${shmBytes}`),
]

/** Stay writable under a read-only root file system: nothing in them outlives the container. */
const NEVER_READONLY = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]

/** All the mounts of a container, in the order in which they are made. */
export function mountsOf(input: MountsInput): Result.Result<readonly Mount[], MountFault> {
  return Result.gen(function*() {
    const asked = yield* Result.all(input.mounts.map(mountOf))
    const places = new Set(asked.map(({ destination }) => destination))
    const files = etcFiles(input).filter(({ destination }) => !places.has(destination))
    const shared = input.ipcMode === "host" ? "/dev/shm" : input.shm
    // crun drops flags of a mount that it binds, unless it is told them; runc keeps them.
    const flags = input.ipcMode === "host" ? [] : ["nosuid", "noexec", "nodev"]
    const shm = shared !== null && !places.has("/dev/shm")
      ? [mount("/dev/shm", "bind", shared, "rbind", "rprivate", ...flags)]
      : []
    const init = input.initPath === null
      ? []
      : [mount(INIT_PATH, "bind", input.initPath, "bind", "ro")]
    const isBind = ({ type }: Mount) => type === "bind"
    // Parents before children; among equals binds before tmpfs, as Docker has them.
    const own = [
      ...asked.filter(isBind),
      ...files,
      ...shm,
      ...asked.filter((each) => !isBind(each)),
    ].toSorted((a, b) => depth(a) - depth(b))
    const hasOwnShm = shared === null && input.ipcMode !== "none"
    const standard = defaults(input.shmBytes)
      .filter(({ destination }) => !isReplaced(destination, places))
      .filter(({ destination }) => destination !== "/dev/shm" || hasOwnShm)
    return [...standard, ...init, ...own].map((each) => withAccess(each, input, places))
  })
}

const depth = ({ destination }: Mount): number => destination.split("/").length

const isReplaced = (place: string, places: ReadonlySet<string>): boolean =>
  places.has(place) || (place.startsWith("/dev/") && places.has("/dev"))

/** `resolv.conf`, `hostname` and `hosts` over those of the image. */
const etcFiles = ({ home }: MountsInput): readonly Mount[] =>
  ["resolv.conf", "hostname", "hosts"].map((name) =>
    mount(`/etc/${name}`, "bind", `${home}/${name}`, "rbind", "rprivate")
  )

/** The mount as the container's own read-only and privileged modes have it. */
function withAccess(each: Mount, input: MountsInput, places: ReadonlySet<string>): Mount {
  const { destination, type, options } = each
  if (places.has(destination)) return each
  if (input.privileged && (destination === "/sys" || type === "cgroup")) {
    return { ...each, options: options.filter((option) => option !== "ro") }
  }
  const isReadonly = input.readonlyRootfs && !NEVER_READONLY.includes(destination)
  if (!isReadonly || options.includes("ro")) return each
  const [first = "", ...rest] = options
  return { ...each, options: [first, "ro", ...rest] }
}

const mountOf = (term: MountTerm): Result.Result<Mount, MountFault> =>
  term.kind === "tmpfs" ? tmpfs(term) : Result.succeed(bind(term))

function bind({ source, target, readonly, propagation, options }: MountTerm): Mount {
  const recursive = options.includes("bind-nonrecursive") || options.includes("bind")
    ? "bind"
    : "rbind"
  return mount(
    target,
    "bind",
    source,
    recursive,
    ...(readonly ? ["ro"] : []),
    propagation === "" ? "rprivate" : propagation,
  )
}

/** Options of a tmpfs that turn one another off: of each row the last one given counts. */
const FLAGS: readonly (readonly string[])[] = [
  ["exec", "noexec"],
  ["suid", "nosuid"],
  ["dev", "nodev"],
  ["rw", "ro"],
  ["async", "sync"],
  ["dirsync"],
  ["mand", "nomand"],
  ["atime", "noatime"],
  ["diratime", "nodiratime"],
  ["relatime", "norelatime"],
  ["strictatime", "nostrictatime"],
  ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"],
]

const VALUES: readonly string[] = ["mode", "uid", "gid", "size", "nr_inodes", "mpol"]

function tmpfs({ target, readonly, options }: MountTerm): Result.Result<Mount, MountFault> {
  const given = ["noexec", "nosuid", "nodev", "rprivate", ...(readonly ? ["ro"] : []), ...options]
  const last = new Map<string, string>()
  for (const option of given) {
    if (option === "" || option === "defaults") continue
    const kind = kindOf(option)
    if (kind === null) {
      const words = option.split(/=(.*)/s).slice(0, 2).map((word) => JSON.stringify(word))
      return Result.fail(new MountFault({ cause: `invalid tmpfs option [${words.join(" ")}]` }))
    }
    last.delete(kind) // it moves to where it was given last
    last.set(kind, option)
  }
  return Result.succeed(mount(target, "tmpfs", "tmpfs", ...last.values()))
}

function kindOf(option: string): string | null {
  const row = FLAGS.find((flags) => flags.includes(option))?.[0]
  if (row !== undefined) return row
  const [name = "", value] = option.split("=", 2)
  return value !== undefined && VALUES.includes(name) ? name : null
}

/**
 * How the container's root must be mounted so that shared and slave mounts in it work; null: the
 * runtime's own choice, private.
 */
export function rootPropagation(mounts: readonly MountTerm[]): "shared" | "rslave" | null {
  const has = (...kinds: readonly string[]) =>
    mounts.some(({ kind, propagation }) => kind === "bind" && kinds.includes(propagation))
  if (has("shared", "rshared")) return "shared"
  return has("slave", "rslave") ? "rslave" : null
}
