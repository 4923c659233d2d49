import koffi from "koffi"

/** A system call that failed: which, on what, and the kernel's word for why. */
export class Errno extends Error {
  readonly code: string
  readonly call: string
  readonly subject: string
  constructor(call: string, subject: string, errno: number) {
    const code = NAMES.get(errno) ?? `errno ${errno}`
    super(`${call} ${subject}: ${code}`)
    this.name = "Errno"
    this.code = code
    this.call = call
    this.subject = subject
  }
}

/** Second names of numbers that Linux itself calls EAGAIN, EDEADLK and EOPNOTSUPP. */
const ALIASES = ["EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"]
const NAMES = new Map(
  Object.entries(koffi.os.errno).filter(([name]) => !ALIASES.includes(name))
    .map(([name, number]) => [number, name]),
)

const lib = koffi.load(null)

/** Binds a function of libc, or of the libraries inside Node's own binary, by its C prototype. */
export const bind = (prototype: string) => lib.func(prototype)

/** The errno of the last bound call. Read it at once: any other call may change it. */
export const errno = (): number => koffi.errno()

/** Is `errno` the error of this name? */
export const isErrno = (name: string): boolean => koffi.errno() === koffi.os.errno[name]

/** Throws what went wrong if a call answered a negative number; else gives the number back. */
export const check = (result: number | bigint, call: string, subject: string): number => {
  if (result < 0) throw new Errno(call, subject, koffi.errno())
  return Number(result)
}
