import { type Row, row } from "../row.ts"

export const logs: readonly Row[] = [
  row("logs", `
    run --name one bb sh -c 'echo one; echo two >&2; echo three; printf unended'
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
  `),
  row("logs of more starts", `
    create --name one bb sh -c 'echo run; exit 1'
    start -a one
    start -a one
    logs one
  `),
  row("logs of one terminal", `
    run -t --name one bb sh -c 'echo one; echo two >&2'
    logs one
    logs -t one
    logs --tail 1 one
  `),
  row("logs followed", `
    run -d --name one bb sh -c 'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done'
    logs -f one
    logs -f --tail 2 one
  `),
  row("logs of long lines", `
    run --name one bb sh -c 'head -c 40000 /dev/zero | tr "\\\\0" x; echo; echo end'
    logs one
    logs --tail 1 one
  `),
  row("logs with labels and variables", `
    run --name one --label l=1 -e E=2 --log-opt labels=l --log-opt env=E bb echo hi
    logs --details one
    logs --details -t one
  `),
  row("no logs", `
    run --name one --log-driver none bb echo hi
    logs one
    create --name two bb
    logs two
    logs -f two
  `),
  row("logs over the socket", `
    run --name one bb sh -c 'echo one; echo two >&2'
    GET /containers/one/logs?stdout=1
    GET /containers/one/logs?stderr=1
    GET /containers/one/logs
    GET /containers/one/logs?stdout=1&tail=x
    GET /containers/one/logs?stdout=1&since=x
    GET /containers/nosuch/logs?stdout=1
    GET /containers/one/logs?stdout=1&stderr=1&timestamps=nonsense&follow=0
  `),
]
