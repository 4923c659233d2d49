import type { HistoryLine, MachineLine } from "./debug.ts"

/** A moment as people in the field compare it with other logs: UTC, milliseconds. */
const moment = (wallMs: number): string => new Date(wallMs).toISOString()

const columns = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]!.length)))
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd())
    .map((line) => `${line}\n`).join("")
}

/** All machines, a line each: where it stands, since when, and what it waits for. */
export const machinesText = (machines: readonly MachineLine[]): string =>
  columns([
    ["MACHINE", "STATE", "SINCE", "BY", "WAITS FOR"],
    ...machines.map((machine) => [
      machine.address,
      machine.quarantine === null ? machine.state : `${machine.state} (quarantined)`,
      machine.sinceMs === null ? "-" : moment(machine.sinceMs),
      machine.event ?? "-",
      waitsText(machine) || "-",
    ]),
  ])

const waitsText = ({ waits, timers }: MachineLine): string =>
  [
    ...waits.map(({ command }) => command),
    ...timers.map(({ id, dueWallMs }) => `${shortTimer(id)} at ${moment(dueWallMs)}`),
  ].join(", ")

/** `xstate.after.grace.container.running.stopping` → `grace`. */
const shortTimer = (id: string): string => id.split(".")[2] ?? id

/** What is known of one machine beside its drawing. */
export const machineText = (machine: MachineLine): string =>
  [
    `${machine.address}: ${machine.state}`,
    machine.sinceMs === null ? "" : `since ${moment(machine.sinceMs)}, by ${machine.event}`,
    ...machine.waits.map(({ id, command, params }) =>
      `waits for command ${id}: ${command} ${JSON.stringify(params)}`
    ),
    ...machine.timers.map(({ id, delayMs, dueWallMs }) =>
      `timer ${shortTimer(id)} of ${delayMs} ms, due ${moment(dueWallMs)}`
    ),
    machine.quarantine === null ? "" : `quarantined: ${machine.quarantine}`,
  ].filter((line) => line !== "").map((line) => `${line}\n`).join("")

/** A history, a line an event; `BOOT` counts the engine's starts. */
export const historyText = (lines: readonly HistoryLine[]): string =>
  columns([
    ["SEQ", "BOOT", "TIME", "EVENT", "LED TO", "CAUSE", "ASKED FOR"],
    ...lines.map((line) => [
      String(line.seq),
      String(line.boot),
      moment(line.wallMs),
      eventText(line.event),
      line.state,
      line.cause === null ? "-" : `${line.cause.seq} ${line.cause.event}`,
      line.asked.join(", ") || "-",
    ]),
  ])

/** `exited exitCode=137 ranMs=20`; long values are left out. */
const eventText = ({ type, ...rest }: HistoryLine["event"]): string =>
  [
    String(type),
    ...Object.entries(rest).filter(([, value]) => JSON.stringify(value).length <= 40)
      .map(([name, value]) =>
        `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`),
  ].join(" ")
