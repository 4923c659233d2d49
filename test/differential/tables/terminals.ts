import { type Row, row } from "../row.ts"

/** What is typed is shown, too, before the prompt or behind it: only lines that begin so count. */
const ANSWERS = { mask: [/^(?!=).*(\n|$)/gm, /(<masked>[\r\n]*)+/g] }

/** Standing at a container's terminal. */
export const terminals: readonly Row[] = [
  row("a terminal", [
    // The size is set once it has started, and the shell may be quicker.
    {
      typed: "once -it bb sh",
      cue: "/ # ",
      keys: "until stty size 2>&1 | grep -q 77; do sleep 0.1; done; echo =$(stty size); exit 3\n",
    },
    { typed: "once -it bb sh", cue: "/ # ", keys: "echo =$(tty) $TERM; exit\n" },
  ], ANSWERS),
  row("a terminal and none", `
    once -t bb tty
    once -it bb tty
    once bb tty
  `),
  row("left and come back to", [
    { typed: "once --rm=false -it --name one bb sh", cue: "/ # ", keys: "\u0010\u0011" },
    "state one",
    { typed: "attach --detach-keys ctrl-x one", cue: "", keys: "\n\u0018" },
    "state one",
    { typed: "attach one", cue: "", keys: "exit 4\n" },
    "wait one",
  ], ANSWERS),
  row("attach", `
    attach nosuch
    create --network none --name one bb
    attach one
    attach --detach-keys nonsense one
  `),
]
