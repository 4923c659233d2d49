import { Client, ClientError } from "../api/client.ts"
import { flag, lettered, parse, UsageError } from "./argv.ts"
import * as containers from "./containers.ts"
import * as engine from "./engine.ts"
import * as images from "./images.ts"
import { debug } from "./machines.ts"
import { pull, push } from "./pull.ts"
import { create, run } from "./run.ts"

type Command = (client: Client, words: readonly string[]) => Promise<number>
interface Entry {
  readonly run: Command
  readonly usage: string
  readonly help: string
}

const entry = (run: Command, usage: string, help: string): Entry => ({ run, usage, help })

const COMMANDS: Readonly<Record<string, Entry>> = {
  attach: entry(containers.attach, "CONTAINER", "Join a running container's streams"),
  create: entry(create, "[OPTIONS] IMAGE [COMMAND]", "Create a container"),
  debug: entry(debug, "machines [ADDRESS] [--history] [--watch] [--format text|json|mermaid|dot]",
    "Show the state machines behind everything"),
  delta: entry(images.delta, "[-t NAME[:TAG]] [--push] BASE… IMAGE", "Make deltas of an image"),
  events: entry(engine.events, "[OPTIONS]", "Follow what happens"),
  history: entry(images.history, "IMAGE", "Show the history of an image"),
  images: entry(images.images, "[OPTIONS] [REPOSITORY[:TAG]]", "List images"),
  info: entry(engine.info, "[OPTIONS]", "Show what the engine is and has"),
  inspect: entry(engine.inspect, "[OPTIONS] NAME…", "Show everything about an object"),
  kill: entry(containers.kill, "[-s SIGNAL] CONTAINER…", "Send a signal"),
  load: entry(images.load, "[-i FILE]", "Load images from an archive"),
  logs: entry(containers.logs, "[-f] [-t] [-n N] [--since T] CONTAINER", "Show a container's log"),
  pause: entry(containers.pause, "CONTAINER…", "Freeze all processes"),
  ps: entry(containers.ps, "[-a] [-q] [-f FILTER] [--format TEMPLATE]", "List containers"),
  pull: entry(pull, "[--platform P] NAME[:TAG|@DIGEST]", "Fetch an image from a registry"),
  push: entry(push, "[-a] [-q] NAME[:TAG]", "Send an image to a registry"),
  rename: entry(containers.rename, "CONTAINER NAME", "Rename a container"),
  restart: entry(containers.restart, "[-t SECONDS] CONTAINER…", "Stop and start again"),
  rm: entry(containers.rm, "[-f] [-v] CONTAINER…", "Remove containers"),
  rmi: entry(images.rmi, "[-f] IMAGE…", "Remove images"),
  run: entry(run, "[OPTIONS] IMAGE [COMMAND]", "Create and start a container"),
  save: entry(images.save, "[-o FILE] IMAGE…", "Save images to an archive"),
  start: entry(containers.start, "[-a] [-i] CONTAINER…", "Start containers"),
  stop: entry(containers.stop, "[-t SECONDS] CONTAINER…", "Stop containers"),
  tag: entry(images.tag, "IMAGE NAME[:TAG]", "Give an image another name"),
  top: entry(containers.top, "CONTAINER [PS OPTIONS]", "Show the processes of a container"),
  unpause: entry(containers.unpause, "CONTAINER…", "Thaw all processes"),
  version: entry(engine.version, "[OPTIONS]", "Show the engine's version"),
  wait: entry(containers.wait, "CONTAINER…", "Wait for the end and print the exit code"),
}

/** `balena container ls` and the like: the noun's own names, where they differ from above. */
const NOUNS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  container: { ls: "ps", list: "ps", ps: "ps" },
  image: { ls: "images", list: "images", rm: "rmi", remove: "rmi" },
  system: {},
}

const DEFAULT_HOST = "unix:///var/run/balena-engine.sock"
/** The exit codes of `run`'s own faults are Docker's; everything else is 1. */
const RUN_FAULT = 125

const GLOBAL_FLAGS = {
  debug: lettered("D", flag.on),
  help: flag.on,
  host: lettered("H", flag.text),
  version: lettered("v", flag.on),
} as const

/** The terminal's way in: words in, text out, an exit code. Nothing of the daemon is loaded. */
export async function main(words: readonly string[]): Promise<number> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0) // whoever read it has read enough
    throw error
  })
  let name = ""
  try {
    const { given, rest } = parse(words, GLOBAL_FLAGS, { stopAtFirst: true })
    const host = given.host ?? process.env["DOCKER_HOST"] ?? DEFAULT_HOST
    const client = new Client(host)
    if (given.version) return await engine.version(client, [])
    const [command, ...others] = resolve(rest)
    name = command ?? ""
    if (name === "" || name === "help" || given.help) return usage()
    const found = COMMANDS[name]
    if (found === undefined) return unknown(name)
    if (asksHelp(name, others)) return help(name, found)
    return await found.run(client, others)
  } catch (error) {
    return failed(name, error)
  }
}

/** Turns `image ls -q` into `images -q`. */
function resolve(rest: readonly string[]): readonly string[] {
  const [noun = "", verb = "", ...words] = rest
  const names = NOUNS[noun]
  if (names === undefined) return rest
  if (verb === "" || verb === "--help") return ["help"]
  if (verb === "inspect") return ["inspect", "--type", noun, ...words]
  return [names[verb] ?? verb, ...words]
}

/** Does a command ask for its own help, before another program's words begin? */
function asksHelp(name: string, words: readonly string[]): boolean {
  if (name !== "run" && name !== "create") return words.includes("--help")
  return words[0] === "--help"
}

function usage(): number {
  const rows = Object.entries(COMMANDS).map(([name, { help }]) => `  ${name.padEnd(10)} ${help}`)
  process.stdout.write(`
Usage:  balena [-H HOST] COMMAND

A container engine for devices in the field.

Commands:
${rows.join("\n")}

Run 'balena COMMAND --help' for more information on a command.
`)
  return 0
}

function help(name: string, { usage, help }: Entry): number {
  process.stdout.write(`\nUsage:  balena ${name} ${usage}\n\n${help}\n`)
  return 0
}

function unknown(name: string): number {
  process.stderr.write(`balena: '${name}' is not a balena command.\nSee 'balena --help'\n`)
  return 1
}

/** Node's ways to say that the other end has gone in the midst of it. */
function isCutOff(error: unknown): boolean {
  const { code = "" } = Object(error) as { code?: string }
  return code === "ECONNRESET" || code === "EPIPE"
}

function failed(name: string, error: unknown): number {
  const code = name === "run" ? RUN_FAULT : 1
  if (error instanceof UsageError) {
    const subject = name === "" ? "balena" : `balena ${name}`
    const words = /^(requires|accepts)/.test(error.message)
      ? `"${subject}" ${error.message}`
      : error.message
    process.stderr.write(`${words}.\nSee '${subject} --help'.\n`)
    return code
  }
  if (error instanceof ClientError) process.stderr.write(`${error.message}\n`)
  else if (isCutOff(error)) {
    process.stderr.write("balena: the daemon closed the connection before its answer was whole. "
      + "Is it still running?\n")
  } else if (error instanceof Error) process.stderr.write(`balena: ${error.message}\n`)
  else throw error
  return code
}
