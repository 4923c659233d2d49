import type { MountTerm } from "../../oci/terms.ts"
import { ApiFault, invalid, notYet } from "../faults.ts"
import type { Config, HostConfig, Mount } from "./docker.ts"

/** A mount as inspect and list show it. */
export interface MountPoint {
  readonly Type: string
  readonly Source: string
  readonly Destination: string
  readonly Mode: string
  readonly RW: boolean
  readonly Propagation: string
}

/** A mount, both as this engine makes it and as Docker shows it. */
interface Agreed {
  readonly term: MountTerm
  readonly point: MountPoint
}

const PROPAGATIONS = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
/** What a `-v` may say behind its second colon: of each group at most one. */
const MODES: readonly (readonly string[])[] = [
  ["rw", "ro"],
  ["z", "Z"],
  PROPAGATIONS,
  ["nocopy"],
  ["consistent", "cached", "delegated", "default"],
]

const isMode = (mode: string): boolean => {
  if (mode === "") return true
  const groups = mode.split(",").map((word) => MODES.findIndex((group) => group.includes(word)))
  return !groups.includes(-1) && new Set(groups).size === groups.length
}

/** Names a volume may have; anything else in front of a colon was meant to be a path. */
const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

const TYPES: readonly string[] = ["bind", "tmpfs", "volume", "image", "cluster", "npipe"]
const TMPFS = { kind: "tmpfs", source: "", propagation: "", create: false } as const

const notAbsolute = (path: string): string =>
  `invalid mount path: '${path}' mount path must be absolute`

/** One `Binds` entry: `/host:/ctr[:mode]`. null: a volume, which lies in the container itself. */
function ofBind(text: string): Agreed | null {
  const parts = text.split(":")
  const [first = "", second = "", mode = ""] = parts
  const wrong = (why = "") =>
    invalid(`invalid volume specification: '${text}'${why === "" ? "" : `: ${why}`}`)
  if (parts.length > 3 || first === "" || (parts.length === 2 && isMode(second))) throw wrong()
  if (!isMode(mode)) throw invalid(`invalid mode: ${mode}`)
  const [source, target] = parts.length === 1 ? ["", first] : [first, second]
  const type = source.startsWith("/") ? "bind" : "volume"
  try {
    checkTarget(type, target)
  } catch (fault) {
    throw fault instanceof ApiFault ? wrong(fault.message) : fault
  }
  if (source === "") return null
  if (type === "volume") throw namedVolume(source)
  const words = mode.split(",")
  const propagation = words.find((word) => PROPAGATIONS.includes(word)) ?? "rprivate"
  const readonly = words.includes("ro")
  const term = { kind: "bind", source, target, readonly, propagation, options: [], create: true }
  return agreed(term as MountTerm, mode)
}

const namedVolume = (name: string): ApiFault =>
  VOLUME_NAME.test(name)
    ? notYet(`the volume "${name}": named volumes`)
    : invalid(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only ` +
        `"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. `
        + "If you intended to pass a host directory, use absolute path",
    )

function checkTarget(type: string, target: string): void {
  const wrong = (why: string) => invalid(`invalid mount config for type "${type}": ${why}`)
  if (target === "") throw wrong("field Target must not be empty")
  if (!target.startsWith("/")) throw wrong(notAbsolute(target))
  if (clean(target) === "/") throw wrong("invalid specification: destination can't be '/'")
}

/** The shortest path that means the same, for an absolute one: as Go's path.Clean. */
function clean(path: string): string {
  const steps: string[] = []
  for (const step of path.split("/")) {
    if (step === "..") steps.pop()
    else if (step !== "" && step !== ".") steps.push(step)
  }
  return `/${steps.join("/")}`
}

function agreed(term: MountTerm, mode: string): Agreed {
  const source = term.source === "" ? "" : clean(term.source)
  const target = clean(term.target)
  return {
    term: { ...term, source, target },
    point: {
      Type: term.kind,
      Source: source,
      Destination: target,
      Mode: mode,
      RW: !term.readonly,
      Propagation: term.kind === "bind" ? term.propagation : "",
    },
  }
}

/** One `Mounts` entry. null: an anonymous volume. */
function ofMount(mount: Mount): Agreed | null {
  const { Type: type = "", Source: source = "", Target: target = "" } = mount
  const wrong = (why: string) => invalid(`invalid mount config for type "${type}": ${why}`)
  if (!TYPES.includes(type)) throw wrong("mount type unknown")
  checkTarget(type, target)
  if (type === "volume") {
    if (source !== "") throw namedVolume(source)
    return null
  }
  if (type !== "bind" && type !== "tmpfs") throw notYet(`a mount of type "${type}"`)
  const readonly = mount.ReadOnly ?? false
  if (mount.VolumeOptions !== undefined) throw wrong("field VolumeOptions must not be specified")
  if (type === "tmpfs") {
    if (source !== "") throw wrong("field Source must not be specified")
    if (mount.BindOptions !== undefined) throw wrong("field BindOptions must not be specified")
    const options = tmpfsOptions(mount.TmpfsOptions)
    return agreed({ ...TMPFS, target, readonly, options }, "")
  }
  if (mount.TmpfsOptions !== undefined) throw wrong("field TmpfsOptions must not be specified")
  if (source === "") throw wrong("field Source must not be empty")
  if (!source.startsWith("/")) throw wrong(notAbsolute(source))
  const { Propagation: asked = "", NonRecursive: flat = false, CreateMountpoint: create = false } =
    mount.BindOptions ?? {}
  if (asked !== "" && !PROPAGATIONS.includes(asked)) {
    throw wrong(`invalid propagation mode: ${asked}`)
  }
  const propagation = asked === "" ? "rprivate" : asked
  const options = flat ? ["bind-nonrecursive"] : []
  return agreed({ kind: "bind", source, target, readonly, propagation, options, create }, "")
}

const tmpfsOptions = (asked: Mount["TmpfsOptions"]): string[] => {
  if ((asked?.SizeBytes ?? 0) < 0) {
    throw invalid('invalid mount config for type "tmpfs": invalid size')
  }
  return [
    ...(asked?.SizeBytes ? [`size=${asked.SizeBytes}`] : []),
    `mode=${(asked?.Mode || 0o1777).toString(8)}`,
    ...(asked?.Options ?? []).map((option) => option.join("=")),
  ]
}

/** One `Tmpfs` entry: a path, and options as mount(8) takes them. */
function ofTmpfs([target, text]: [string, string]): Agreed {
  if (target === "" || !target.startsWith("/")) {
    throw invalid(notAbsolute(target))
  }
  if (clean(target) === "/") throw invalid("invalid specification: destination can't be '/'")
  const words = text.split(",").filter((word) => word !== "")
  const options = words.filter((word) => word !== "ro" && word !== "rw")
  const readonly = words.findLast((word) => word === "ro" || word === "rw") === "ro"
  return agreed({ ...TMPFS, target, readonly, options }, "")
}

/** Every mount a request asks for. `volumes` are those it gets none for: they lie in it itself. */
export function mountsOf(config: Config, host: HostConfig) {
  if ((host.VolumesFrom ?? []).length > 0) throw notYet("taking the volumes of another container")
  const binds = (host.Binds ?? []).map(ofBind)
  const mounts = (host.Mounts ?? []).map(ofMount)
  const tmpfs = Object.entries(host.Tmpfs ?? {}).map(ofTmpfs)
  const all = [...binds, ...mounts, ...tmpfs].filter((each) => each !== null)
  const targets = new Set<string>()
  for (const { term: { target } } of all) {
    if (targets.has(target)) throw invalid(`Duplicate mount point: ${target}`)
    targets.add(target)
  }
  return {
    terms: all.map(({ term }) => term),
    // What `Tmpfs` asks for is not among Docker's mount points.
    points: [...mounts, ...binds].filter((each) => each !== null).map(({ point }) => point),
    volumes: Object.keys(config.Volumes ?? {}).map(clean).filter((path) => !targets.has(path)),
  }
}
