import { execFile, spawn } from "node:child_process"

/** How to call a program; `env` is added to this process's own. */
export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Runs a program to its end and answers its stdout. Throws when it fails, with the end of its
 * stderr. The program is found on PATH; arguments are a vector, never a shell's string.
 */
export const run = (file: string, args: readonly string[], options: CommandOptions = {}) =>
  new Promise<string>((resolve, reject) => {
    const env = { ...process.env, ...options.env }
    const settings = { cwd: options.cwd, env, maxBuffer: 2 ** 28 }
    execFile(file, args, settings, (fault, stdout, stderr) => {
      if (fault === null) return resolve(stdout)
      const said = stderr.trim().slice(-2000) || fault.message
      reject(new Error(`${file} ${args.slice(0, 4).join(" ")}: ${said}`))
    })
  })

/** What a program answered, whether it succeeded or not. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end, with `input` on its stdin; a failure is an answer, not an error. */
export const outcome = (
  file: string,
  args: readonly string[],
  options: CommandOptions & { readonly input?: string } = {},
) =>
  new Promise<Outcome>((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on("data", (data: Buffer) => out.push(data))
    child.stderr.on("data", (data: Buffer) => err.push(data))
    child.stdin.on("error", () => {}) // it may end without reading all of it
    child.stdin.end(options.input ?? "")
    child.on("error", reject)
    child.on("close", (code, signal) =>
      resolve({
        code: code ?? (signal === null ? -1 : 128),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      }))
  })

/** Is this program on PATH? */
export const has = async (file: string): Promise<boolean> =>
  (await outcome("which", [file])).code === 0

/** Throws, naming the Debian package, where a program is missing. */
export const needs = async (file: string, debian: string): Promise<void> => {
  if (!(await has(file))) throw new Error(`${file} is missing: apt-get install ${debian}`)
}
