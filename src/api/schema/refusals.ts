import type { RequestFault } from "../../engine/faults.ts"
import { ApiFault, conflict, invalid, notFound } from "../faults.ts"

/** What a client wanted of a container, as far as the words for a refusal differ. */
export type Wish =
  | "create" | "start" | "stop" | "restart" | "kill" | "pause" | "unpause" | "rename" | "update"
  | "remove" | "resize"

interface About {
  readonly id: string
  /** As the client called it. */
  readonly asked: string
  /** The name it wanted, for what names. */
  readonly name?: string
}

const notModified = ApiFault.of("notModified", "")

/** A container whose name another one has. */
const nameTaken = (name: string, holder: string): string =>
  `Conflict. The container name "/${name}" is already in use by container "${holder}". ` +
  "You have to remove (or rename) that container to be able to reuse that name."

type Standing = "paused" | "running" | "restarting" | "leaving" | "still"

/** One word for where a machine stood when it refused. */
function standing(state: string): Standing {
  if (state === "running.paused") return "paused"
  if (state.startsWith("running") || state === "starting") return "running"
  if (state === "restarting") return "restarting"
  return /^(removing|leaving|removed|dead)/.test(state) ? "leaving" : "still"
}

/** The loop's refusal in Docker's words, with Docker's status. */
export function worded(fault: RequestFault, wish: Wish, about: About): ApiFault {
  const { id, asked } = about
  switch (fault.reason) {
    case "missing":
      return notFound(`No such container: ${asked}`)
    case "nameTaken": {
      const text = nameTaken(about.name ?? "", fault.about)
      return conflict(wish === "rename" ? `Error when allocating new name: ${text}` : text)
    }
    case "notFound":
      return notFound(`No such image: ${fault.about}`)
    case "noRoom":
      return ApiFault.of("system", fault.message)
    case "refused":
      return refused(wish, standing(fault.state), id, asked)
    default:
      return ApiFault.of("system", `container ${id} cannot be used: ${fault.about}`)
  }
}

function refused(wish: Wish, where: Standing, id: string, asked: string): ApiFault {
  const leaving = "container is marked for removal and cannot be started"
  const notRunning = `Container ${id} is not running`
  switch (wish) {
    case "start":
      if (where === "paused") {
        return conflict("cannot start a paused container, try unpause instead")
      }
      return where === "running" ? notModified : conflict(leaving)
    case "stop":
      return notModified
    case "restart":
      return conflict(`Cannot restart container ${asked}: ${leaving}`)
    case "kill":
      return conflict(`Cannot kill container: ${asked}: ${notRunning}`)
    case "pause":
      if (where === "paused") return conflict(`Container ${id} is already paused`)
      return conflict(where === "restarting"
        ? `Container ${id} is restarting, wait until the container is running`
        : notRunning)
    case "unpause":
      return ApiFault.of("system", `Container ${id} is not paused`)
    case "resize":
      return conflict(notRunning)
    case "remove": {
      const state = where === "still" || where === "leaving" ? "running" : where
      const procedure = "top the container before attempting removal or force remove"
      return conflict(`You cannot remove a ${state} container ${id}. ` +
        (where === "paused" ? `Unpause and then s${procedure}` : `S${procedure}`))
    }
    default:
      return conflict(`container ${id} cannot be changed now: it is being removed`)
  }
}

const RESTRICTED = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

/** A container's name as a client gives it, without the slash it may begin with. */
export function nameOf(text: string, shown = text): string {
  const name = text.replace(/^\//, "")
  if (!RESTRICTED.test(name)) {
    throw invalid(
      `Invalid container name (${shown}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    )
  }
  return name
}
