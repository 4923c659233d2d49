import { BAD_JSON } from "../known.ts"
import { type Row, row } from "../row.ts"

/** dockerd tells of every process that was refused memory: how many those are is chance. */
const OOM = [/(^.* container oom .*\n)+/gm]

/** What happens, as it is told to whoever listens. */
export const events: readonly Row[] = [
  row("a life", `
    run -d --name one --label k=v bb sleep 100
    pause one
    unpause one
    kill -s USR2 one
    rename one two
    stop -t 0 two
    start two
    restart -t 0 two
    update --memory 32m --memory-swap 64m two
    rm -f two
    events --since @began --until @now
    events --since @began --until @now --filter type=image
    events --since @began --until @now --filter event=die
    events --since @began --until @now --filter container=one
    events --since @began --until @now --filter container=two
    events --since @began --until @now --filter label=k=v --filter event=start
    events --since @began --until @now --filter image=bb --filter event=create
    events --since @began --until @now --filter bogus=x
    events --since @began --until @now --filter event=nonsense
    events --since @began --until @now \
      --format '{{.Type}} {{.Action}} {{.Status}} {{.From}} {{.Scope}}'
    events --since 1h --until 2h
    events --since nonsense --until 1
  `, { mask: [/time \(\d+\)/g] }),
  row("a run", `
    once --name one bb sh -c 'exit 2'
    events --since @began --until @now
    once --rm=false --name two bb nosuch
    events --since @began --until @now --filter container=two
    once --rm=false -i --name three bb true
    logs three
    top three
    attach three
    events --since @began --until @now --filter container=three
  `),
  row("images", `
    tag bb x:y
    rmi x:y
    load -i @shared/images.tar
    events --since @began --until @now --filter type=image
  `),
  row("over the socket", `
    once --name one bb true
    GET /events?since=@began&until=@now&filters={"type":["container"]}
    GET /events?since=2&until=1
  `, { view: "json" }),
  row("asked for wrongly", `
    GET /events?since=x
    GET /events?since=1&until=2&filters=x
  `, { differs: { status: BAD_JSON, "body.message": BAD_JSON } }),
  row("out of memory", `
    once --name one --memory 10m bb sh -c 'x=$(head -c 30000000 /dev/zero | tr "\\\\0" x); echo no'
    events --since @began --until @now
  `, { mask: OOM }),
]
