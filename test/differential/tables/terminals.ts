import { type Row, row } from "../row.ts"

export const terminals: readonly Row[] = [
  row("a terminal", [
    { typed: "run -it --rm bb sh", cue: "/ # ", keys: "stty size; exit 3\n"},
    { typed: "run -it --rm bb sh", cue: "/ # ", keys: "tty; echo $TERM; exit\n"},
    `
    run -t --rm bb tty
    run -it --rm bb tty
    once bb tty
  `,
    { typed: "run -it --name one bb sh", cue: "/ # ", keys: "\u0010\u0011"},
    `
    ps --format '{{.Names}}'
  `,
    { typed: "attach --detach-keys ctrl-x one", cue: "", keys: "\n\u0018"},
    { typed: "attach one", cue: "", keys: "exit 4\n"},
    `
    attach one
    attach nosuch
    attach --detach-keys nonsense one
    wait one
  `,
  ]),
]
