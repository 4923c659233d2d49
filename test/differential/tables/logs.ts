import { BAD_JSON } from "../known.ts"
import { type Row, row } from "../row.ts"

/** What a container has said. */
export const logs: readonly Row[] = [
  row("logs", `
    once --rm=false --name one bb sh -c 'echo one; sleep 0.1; echo two >&2; sleep 0.1; \
      echo three; sleep 0.1; printf unended'
    logs one
    logs --tail 1 one
    logs --tail 0 one
    logs --tail all one
    logs --tail nonsense one
    logs --tail -1 one
    logs -t one
    logs --details one
    logs -f one
    logs --since 1h one
    logs --since @began one
    logs --until @began one
    logs --since 2099-01-01 one
    logs --since nonsense one
    logs nosuch
    logs --until 1h one
    logs -n 2 -t --details one
    GET /containers/one/logs
    GET /containers/nosuch/logs?stdout=1
  `),
  row("logs of more starts", `
    create --network none --name one bb sh -c 'echo run; exit 1'
    start -a one
    start -a one
    logs one
  `),
  row("logs of a terminal", `
    once --rm=false -t --name one bb sh -c 'echo one; echo two >&2'
    logs one
    logs -t one
    logs --tail 1 one
  `),
  row("logs followed", `
    once --rm=false -d --name one bb sh -c 'for i in 1 2 3 4 5; do echo $i; sleep 0.1; done'
    logs -f one
    logs -f --tail 2 one
  `),
  row("logs of long lines", `
    once --rm=false --name one bb sh -c 'head -c 40000 /dev/zero | tr "\\\\0" x; echo; echo end'
    logs one
    logs --tail 1 one
  `),
  row("logs with labels and variables", `
    once --rm=false --name one --label l=1 -e E=2 --log-opt labels=l --log-opt env=E bb echo hi
    logs --details one
    logs --details -t one
  `),
  row("no logs", `
    once --rm=false --name one --log-driver none bb echo hi
    logs one
    create --name two bb
    logs two
    logs -f two
  `),
  row("logs over the socket", `
    once --rm=false --name one bb sh -c 'echo one; sleep 0.1; echo two >&2'
    GET /containers/one/logs?stdout=1
    GET /containers/one/logs?stderr=1
    GET /containers/one/logs?stdout=1&tail=x
    GET /containers/one/logs?stdout=1&stderr=1&timestamps=nonsense&follow=0
  `, { differs: { type: "newer Dockers say what it is" } }),
  row("logs since nonsense", `
    create --name one bb
    GET /containers/one/logs?stdout=1&since=x
  `, { differs: { status: BAD_JSON, "body.message": "it says what is wrong" } }),
]
