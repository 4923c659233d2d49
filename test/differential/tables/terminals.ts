import { type Row, row } from "../row.ts"

/** Standing at a container's terminal. */
export const terminals: readonly Row[] = [
  row("a terminal", [
    // The size is set once it has started, and the shell may be quicker.
    {
      typed: "once -it bb sh",
      cue: "/ # ",
      keys: "until stty size 2>&1 | grep 77; do sleep 0.1; done; exit 3\n",
    },
    { typed: "once -it bb sh", cue: "/ # ", keys: "tty; echo $TERM; exit\n" },
    `
      once -t bb tty
      once -it bb tty
      once bb tty
    `,
  ], { mask: [/^.*stty size.*$/gm] }),
  row("left and come back to", [
    { typed: "once --rm=false -it --name one bb sh", cue: "/ # ", keys: "\u0010\u0011" },
    "names",
    { typed: "attach --detach-keys ctrl-x one", cue: "", keys: "\n\u0018" },
    { typed: "attach one", cue: "", keys: "exit 4\n" },
    `
      attach one
      attach nosuch
      attach --detach-keys nonsense one
      wait one
    `,
  ], { mask: [/[^\n]*(?=read escape)/g, /(\/ # |\r?\n(?=\/ # ))+/g] }),
]
