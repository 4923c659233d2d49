import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"

/** Answers on port 80, TCP and UDP, with who asked; and asks others when it is told to. */
const PEER = `
  const net = require("node:net")
  const udp = require("node:dgram").createSocket("udp4")
  udp.on("message", (_, from) => udp.send(from.address, from.port, from.address))
  net.createServer((socket) => socket.end(socket.remoteAddress))
    .listen(80, "0.0.0.0", () => udp.bind(80, "0.0.0.0", () => process.send("up")))
  process.on("disconnect", () => process.exit())
  const overTcp = (host, port, answer) => {
    let text = ""
    const done = (said) => { socket.destroy(); answer(said) }
    const socket = net.connect({ host, port, family: 4, timeout: 700 })
    socket.on("data", (data) => { text += data })
    socket.on("end", () => done(text)).on("timeout", () => done("silence"))
    socket.on("error", (error) => done(error.code))
  }
  const overUdp = (host, port, answer) => {
    const socket = require("node:dgram").createSocket("udp4")
    const done = (said) => { clearTimeout(timer); socket.close(); answer(said) }
    const timer = setTimeout(() => done("silence"), 700)
    socket.on("message", (text) => done(String(text))).on("error", (error) => done(error.code))
    socket.connect(port, host, () => socket.send("x"))
  }
  process.on("message", ({ id, how, host, port }) => {
    const ask = how === "udp" ? overUdp : overTcp
    ask(host, port, (answer) => process.send({ id, answer }))
  })
`

/** A program in a network namespace of its own, or in this one. */
export interface Peer extends AsyncDisposable {
  readonly pid: number
  /** Asks from there: answers what it read, an error's code, or `silence`. */
  readonly ask: (host: string, port: number, how?: "tcp" | "udp") => Promise<string>
}

export const OWN_NETWORK = ["unshare", "--net", "--"] as const
export const THIS_NETWORK = ["env"] as const

/** Starts one; it answers once this returns. `place`: the words before its program's. */
export async function startPeer(place: readonly string[]): Promise<Peer> {
  const child: ChildProcess = spawn(place[0]!, [...place.slice(1), process.execPath, "-e", PEER], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  })
  await once(child, "message")
  let last = 0
  return {
    pid: child.pid!,
    ask: (host, port, how = "tcp") =>
      new Promise((resolve) => {
        const id = ++last
        const listen = (message: { id: number; answer: string }) => {
          if (message.id !== id) return
          child.off("message", listen)
          resolve(message.answer)
        }
        child.on("message", listen)
        child.send({ id, how, host, port })
      }),
    [Symbol.asyncDispose]: async () => {
      if (child.connected) child.disconnect()
      if (child.exitCode === null) await once(child, "exit")
    },
  }
}
