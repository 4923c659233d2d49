import type { ContainerView } from "../../engine/views/container.ts"
import type { Given } from "./agree.ts"
import { mountsOf } from "./mounts.ts"
import { endpoints, openPorts } from "./network.ts"

/** A span of time as people say it; Docker's own words. */
export function humanSpan(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 1) return "Less than a second"
  if (seconds === 1) return "1 second"
  if (seconds < 60) return `${seconds} seconds`
  const minutes = Math.floor(seconds / 60)
  if (minutes === 1) return "About a minute"
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.floor(seconds / 3600 + 0.5)
  if (hours === 1) return "About an hour"
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 7 * 2) return `${Math.floor(hours / 24)} days`
  if (hours < 24 * 30 * 2) return `${Math.floor(hours / 24 / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.floor(hours / 24 / 30)} months`
  return `${Math.floor(seconds / 3600 / 24 / 365)} years`
}

/** What `docker ps` shows under STATUS. */
export function statusText({ status, state, upMs }: ContainerView, nowMs: number): string {
  const ago = () => humanSpan(Math.max(0, nowMs - state.finishedMs))
  switch (status) {
    case "running":
      return `Up ${humanSpan(upMs)}`
    case "paused":
      return `Up ${humanSpan(upMs)} (Paused)`
    case "restarting":
      return `Restarting (${state.exitCode}) ${ago()} ago`
    case "exited":
      return `Exited (${state.exitCode}) ${ago()} ago`
    case "created":
      return "Created"
    case "removing":
      return "Removal In Progress"
    case "dead":
      return "Dead"
  }
}

/** The command line as list shows it: words with a blank in them are quoted. */
const commandText = (args: readonly string[]): string =>
  args.map((word, at) => (at > 0 && word.includes(" ") ? `'${word}'` : word)).join(" ")

/** Bytes of a container: what it wrote, and that with its image. */
export interface Sizes {
  readonly own: number
  readonly whole: number
}

/** A container in the answer to `GET /containers/json`. `image`: what its image is called now. */
export function listed(view: ContainerView, image: string, nowMs: number, sizes: Sizes | null) {
  const { Config: config, HostConfig: host, NetworkingConfig: networking } = view.given as Given
  return {
    Id: view.id,
    Names: [`/${view.name}`],
    Image: image,
    ImageID: view.image,
    Command: commandText(view.terms.args),
    Created: Math.floor(view.createdMs / 1000),
    Ports: openPorts(view).map(({ port, protocol, hostIp, hostPort }) => ({
      ...(hostPort === null ? {} : { IP: hostIp }),
      PrivatePort: port,
      ...(hostPort === null ? {} : { PublicPort: hostPort }),
      Type: protocol,
    })),
    ...(sizes === null ? {} : { SizeRw: sizes.own, SizeRootFs: sizes.whole }),
    Labels: view.terms.labels,
    State: view.status,
    Status: statusText(view, nowMs),
    HostConfig: { NetworkMode: host.NetworkMode ?? "default" },
    NetworkSettings: { Networks: endpoints(view, networking) },
    Mounts: mountsOf(config, host).points,
  }
}
