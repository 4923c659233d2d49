import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/** A user or group that the container's own files do not know. Worded as Docker words it. */
export class UserFault extends Schema.TaggedError<UserFault>()("UserFault", {
  cause: Schema.String,
}) {}

/** Whom a process runs as, in numbers. `groups` has the primary one too, first. */
export interface Identity {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  /** Has it an entry in /etc/passwd, by which the runtime knows its home? */
  readonly known: boolean
}

interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

interface GroupEntry {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/** The kernel's IDs are 32 bits with the last reserved; the runtimes' are signed. */
const ID_MAX = 2 ** 31 - 1

/** A number as /etc/passwd and people write it; null: not a number. */
const number = (text: string | undefined): number | null =>
  text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : null

const fieldsOf = (text: string | null): readonly (readonly string[])[] =>
  (text ?? "").split("\n").map((line) => line.trim()).filter((line) => line !== "")
    .map((line) => line.split(":"))

/** passwd(5). Lines whose IDs are no numbers are skipped: guessing 0 would make someone root. */
const parsePasswd = (text: string | null): readonly PasswdEntry[] =>
  fieldsOf(text).flatMap(([name = "", , uidText, gidText]) => {
    const uid = number(uidText)
    const gid = number(gidText)
    return uid === null || gid === null ? [] : [{ name, uid, gid }]
  })

/** group(5). */
const parseGroup = (text: string | null): readonly GroupEntry[] =>
  fieldsOf(text).flatMap(([name = "", , gidText, members = ""]) => {
    const gid = number(gidText)
    return gid === null ? [] : [{ name, gid, members: members.split(",").map((m) => m.trim()) }]
  })

const fail = (cause: string) => Result.fail(new UserFault({ cause }))

const inRange = (id: number): Result.Result<number, UserFault> =>
  id >= 0 && id <= ID_MAX
    ? Result.succeed(id)
    : fail(`uids and gids must be in range 0-${ID_MAX}`)

/**
 * Resolves `user` (`name`, `uid`, `name:group`, `uid:gid`, empty for root) and the additional
 * groups asked for, by the container's own /etc/passwd and /etc/group (null: no such file). Numbers
 * need no entry. Groups that list the user count only where no group was named, as in Docker.
 */
export function identityOf(
  user: string,
  additional: readonly string[],
  passwd: string | null,
  group: string | null,
): Result.Result<Identity, UserFault> {
  return Result.gen(function*() {
    const groups = parseGroup(group)
    const [userArgument = "", groupArgument = ""] = user.split(":")
    const entry = findUser(userArgument, parsePasswd(passwd))
    const uid = entry?.uid ?? (yield* numberedUser(userArgument))
    const gid = groupArgument === ""
      ? entry?.gid ?? 0
      : yield* groupNumber(groupArgument, groups)
    const listed = groupArgument === "" && entry !== undefined
      ? groups.filter(({ members }) => members.includes(entry.name)).map(({ gid }) => gid)
      : []
    const asked = yield* Result.all(additional.map((name) => additionalGroup(name, groups)))
    const known = entry !== undefined
    return { uid, gid, groups: [...new Set([gid, ...listed, ...asked])], known }
  })
}

/** A number is always an ID, even if someone is called by it; the first entry counts. */
function findUser(user: string, entries: readonly PasswdEntry[]): PasswdEntry | undefined {
  const uid = user === "" ? 0 : number(user)
  return entries.find((entry) => (uid === null ? entry.name === user : entry.uid === uid))
}

function numberedUser(user: string): Result.Result<number, UserFault> {
  const uid = user === "" ? 0 : number(user)
  return uid === null
    ? fail(`unable to find user ${user}: no matching entries in passwd file`)
    : inRange(uid)
}

function groupNumber(
  group: string,
  entries: readonly GroupEntry[],
): Result.Result<number, UserFault> {
  const gid = number(group)
  const entry = entries.find((entry) => (gid === null ? entry.name === group : entry.gid === gid))
  if (entry !== undefined) return Result.succeed(entry.gid)
  return gid === null
    ? fail(`unable to find group ${group}: no matching entries in group file`)
    : inRange(gid)
}

/** Here a name is looked for before it is read as a number. */
function additionalGroup(
  group: string,
  entries: readonly GroupEntry[],
): Result.Result<number, UserFault> {
  const entry = entries.find(({ name, gid }) => name === group || String(gid) === group)
  const gid = entry?.gid ?? number(group)
  return gid === null
    ? fail(`Unable to find group ${group}: no matching entries in group file`)
    : inRange(gid)
}
