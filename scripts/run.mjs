// Sets up what a task needs and runs it on the pinned Node. Every npm script goes through here.
// Plain JavaScript without packages: it is run by whatever Node (20 or later) the machine has.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { arch, tmpdir } from "node:os"
import { delimiter, dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const isRoot = process.getuid() === 0
const wantsRoot = process.env.CI === "true"
/** Debian leaves these out of PATH for some ways to become root. */
const SYSTEM_PATHS = ["/usr/local/sbin", "/usr/sbin", "/sbin"]

/** Which Debian package brings a command. */
const PACKAGES = [
  { package: "conmon", command: "conmon" },
  { package: "crun", command: "crun" },
  { package: "runc", command: "runc" },
  { package: "nftables", command: "nft" },
  { package: "iproute2", command: "ip" },
  { package: "busybox-static", command: "busybox" },
  { package: "docker-registry", command: "docker-registry" },
  { package: "e2fsprogs", command: "mkfs.ext4" },
  { package: "xfsprogs", command: "mkfs.xfs" },
  { package: "mount", command: "losetup" },
  { package: "procps", command: "ps" },
  { package: "strace", command: "strace" },
  { package: "docker.io", command: "docker" },
  { package: "docker.io", command: "dockerd" },
  { package: "debootstrap", command: "debootstrap" },
]
const ENGINE = ["conmon", "crun", "nft", "ps"]
const TESTED = [
  ...ENGINE, "runc", "ip", "busybox", "mkfs.ext4", "mkfs.xfs", "losetup", "docker",
  "dockerd", "docker-registry", "strace",
]

const TYPES = { name: "types", argv: ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"] }
const LINT = {
  name: "lint",
  argv: ["node_modules/oxlint/bin/oxlint", "--type-aware", "--quiet", "--deny-warnings"],
}
const BUILD = { name: "build", argv: ["scripts/build.ts"] }
const vitest = (...filters) => ({
  name: "tests",
  counts: true,
  argv: ["node_modules/vitest/vitest.mjs", "run", ...filters],
})
const program = (path, ...args) => ({ name: path, argv: [path, ...args] })

/**
 * What each task needs of the system and which steps it takes; arguments go to its last step.
 * `all`: a failing step does not hide what the later ones would have said.
 */
const TASKS = {
  start: {
    needs: [...ENGINE, "busybox", "mkfs.ext4", "mkfs.xfs", "losetup"],
    steps: [BUILD, program("simulations/demo/main.ts")],
  },
  test: { needs: TESTED, all: true, steps: [TYPES, LINT, BUILD, vitest()] },
  check: {
    needs: [],
    all: true,
    steps: [
      TYPES,
      LINT,
      program("simulations/simulate.ts", "--seed", "1", "--faults", "1000"),
      vitest("--project", "unit"),
    ],
  },
  build: { needs: [], steps: [BUILD] },
  simulate: { needs: [], steps: [program("simulations/simulate.ts")] },
  powercut: {
    needs: [...TESTED, "debootstrap"],
    steps: [BUILD, program("simulations/powercut/main.ts")],
  },
  bench: {
    needs: [...TESTED, "dockerd", "debootstrap"],
    steps: [BUILD, program("simulations/bench/main.ts")],
  },
}

const say = (text) => process.stderr.write(`${text}\n`)
const fail = (text) => {
  say(text)
  process.exit(1)
}

/** The pinned version, and where npm put the binary for this machine. */
const pinned = () => {
  const { optionalDependencies } = JSON.parse(fs.readFileSync(join(ROOT, "package.json"), "utf8"))
  const name = `node-linux-${arch()}`
  const version = optionalDependencies[name]
  if (version === undefined) fail(`no Node is pinned for ${arch()}: x64 and arm64 are`)
  return { version: `v${version}`, path: join(ROOT, "node_modules", name, "bin/node") }
}

/** Installs the npm packages where the lock has changed since they last were. */
const installNpm = () => {
  const lockPath = join(ROOT, "package-lock.json")
  const stampPath = join(ROOT, "node_modules/.installed")
  const lock = fs.readFileSync(lockPath)
  const stamp = createHash("sha256").update(lock).digest("hex")
  const installed = fs.existsSync(stampPath) ? fs.readFileSync(stampPath, "utf8") : ""
  if (installed === stamp && fs.existsSync(pinned().path)) return
  say("installing npm packages")
  const npm = process.env.npm_execpath
  const [command, ...args] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"]
  args.push("install", "--no-save", "--ignore-scripts")
  args.push("--no-audit", "--no-fund", "--loglevel=error")
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", 2, 2] })
  // npm 10 may rewrite the lock even so; what is pinned is what is in the repository.
  if (!fs.readFileSync(lockPath).equals(lock)) fs.writeFileSync(lockPath, lock)
  if (status !== 0) fail("npm install failed: its words are above")
  fs.writeFileSync(stampPath, stamp)
}

const paths = () => [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_PATHS]
const has = (command) => paths().some((directory) => fs.existsSync(join(directory, command)))

/** Debian starts a new service at once, unless this file says no. */
const withoutServices = (work) => {
  const policy = "/usr/sbin/policy-rc.d"
  if (fs.existsSync(policy)) return work()
  fs.writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 })
  try {
    return work()
  } finally {
    fs.rmSync(policy)
  }
}

const installDebian = (names) => {
  if (!has("apt-get")) fail(`missing, and there is no apt-get: ${names.join(" ")}`)
  say(`installing ${names.join(" ")}`)
  const apt = (...args) =>
    spawnSync("apt-get", ["-q", "-y", ...args], {
      stdio: ["ignore", 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    }).status === 0
  apt("update")
  if (!withoutServices(() => apt("install", "--no-install-recommends", ...names))) {
    fail(`apt-get install ${names.join(" ")} failed: its words are above`)
  }
}

/** Installs the system packages a task needs; without root it says which are missing. */
const installSystem = (needs) => {
  const missing = PACKAGES
    .filter(({ command }) => needs.includes(command) && !has(command))
    .map((row) => row.package)
    .filter((name, at, all) => all.indexOf(name) === at)
  if (missing.length === 0) return
  if (isRoot) installDebian(missing)
  else say(`not root: the real parts are left out; they need ${missing.join(" ")} (apt-get)`)
}

/** Node's own binary needs two libraries that a bare Debian may lack. */
const checkNode = () => {
  const { version, path } = pinned()
  const answer = () => spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.trim()
  if (answer() !== version && isRoot) installDebian(["libatomic1", "libstdc++6"])
  const found = answer()
  if (found !== version) fail(`${path} answers ${found ?? "nothing"}, not ${version}`)
  return path
}

/** Runs one step to its end and answers its exit code. Signals go to the step, which decides. */
const run = (node, { argv }, args, env) =>
  new Promise((done) => {
    const child = spawn(node, [...argv, ...args], { cwd: ROOT, stdio: "inherit", env })
    const forward = (signal) => child.kill(signal)
    const ignore = () => {}
    process.on("SIGTERM", forward)
    process.on("SIGINT", ignore) // the terminal sends it to the step too
    child.on("error", (error) => fail(`${node}: ${error.message}`))
    child.on("exit", (code, signal) => {
      process.off("SIGTERM", forward)
      process.off("SIGINT", ignore)
      done(code ?? (signal === "SIGINT" ? 130 : 1))
    })
  })

/** Reads what scripts/count.ts wrote; a run that died before it could counts as one failure. */
const readCounts = (path, code) => {
  let counts = { passed: 0, failed: 0, skipped: 0 }
  if (fs.existsSync(path)) counts = JSON.parse(fs.readFileSync(path, "utf8"))
  fs.rmSync(path, { force: true })
  if (code !== 0 && counts.failed === 0) counts.failed = 1
  return counts
}

const summary = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`

const main = async () => {
  const [name, ...args] = process.argv.slice(2)
  const task = TASKS[name]
  if (task === undefined) fail(`which task? One of: ${Object.keys(TASKS).join(" ")}`)
  installNpm()
  const node = checkNode()
  installSystem(task.needs)
  const countsPath = join(tmpdir(), `counts-${process.pid}.json`)
  const env = {
    ...process.env,
    PATH: [dirname(node), ...paths()].join(delimiter),
    TEST_COUNTS: countsPath,
  }
  let counts = null
  let failures = 0
  let lastCode = 0
  for (const step of task.steps) {
    if (task.all) say(`${name}: ${step.name}`)
    const last = step === task.steps.at(-1)
    const code = await run(node, step, last ? args : [], env)
    if (step.counts) counts = readCounts(countsPath, code)
    else if (code !== 0) failures += 1
    if (code !== 0) {
      lastCode = code
      if (!task.all) process.exit(code)
    }
  }
  if (counts !== null) {
    counts.failed += failures
    if (!isRoot && wantsRoot && counts.skipped > 0) {
      say(`${counts.skipped} tests were skipped for want of root, and CI=true forbids that`)
      counts.failed += 1
      lastCode = 1
    }
    console.log(summary(counts))
    const copy = process.env.TEST_SUMMARY
    if (copy) fs.writeFileSync(resolve(copy), summary(counts))
  }
  process.exit(lastCode)
}

await main()
