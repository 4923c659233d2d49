import { type Row, row } from "../row.ts"

export const engine: readonly Row[] = [
  row("version and ping", `
    GET /version
    GET /_ping
    GET /info
    GET /v1.24/version
  `, { view: "shape" }),
  row("versions of the API", `
    GET /v1.23/_ping
    GET /v1.23/containers/json
    GET /v1.99/containers/json
    GET /v1.x/containers/json
    GET /nonsense
    POST /containers/json
    DELETE /version
    GET /v1.41
    GET /containers//json
    PUT /nonsense
  `),
  row("disk", `
    create --name one bb
    GET /system/df
  `, { view: "shape" }),
  row("disk by the CLI", `
    create --name one bb
    system df
    system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
    system df -v
  `),
  row("networks", `
    GET /networks
    run -d --name one bb sleep 100
    network inspect bridge
    network inspect host
    network inspect none
  `, { view: "json" }),
  row("networks by the CLI", `
    network ls
    network ls -q
    network ls --filter driver=bridge
    network ls --filter name=o
    network ls --filter type=custom
    network ls --filter bogus=1
    network ls --no-trunc --format '{{.Name}} {{.Driver}} {{.Scope}}'
    network inspect nosuch
    network rm nosuch
    network rm bridge
    network rm host
    network prune -f
    network connect nosuch nosuch
    network disconnect bridge nosuch
  `),
  row("volumes", `
    volume ls
    volume ls -q
    volume inspect nosuch
    volume rm nosuch
    volume ls --filter bogus=1
    volume ls --filter dangling=true
    volume prune -f
  `),
  row("events of one life", `
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
    events --since @began --until @now --filter image=busybox
    events --since @began --until @now --filter image=bb --filter event=create
    events --since @began --until @now --filter bogus=x
    events --since @began --until @now --filter event=nonsense
    events --since @began --until @now --format '{{.Type}} {{.Action}} {{.Status}} {{.From}} \
      {{.Scope}}'
    events --since 1h --until 2h
    events --since nonsense --until 1
  `),
  row("events of one run", `
    once --name one bb sh -c 'exit 2'
    events --since @began --until @now
    run --name two bb nosuch
    events --since @began --until @now --filter container=two
    run -i --name three bb true
    logs three
    top three
    attach three
    events --since @began --until @now --filter container=three
  `),
  row("events of images", `
    tag bb x:y
    rmi x:y
    load -i @shared/images.tar
    events --since @began --until @now --filter type=image
    save -o /dev/null bb
    events --since @began --until @now --filter event=save
  `),
  row("events over the socket", `
    once --name one bb true
    GET /events?since=@began&until=@now&filters={"type":["container"]}
    GET /events?since=2&until=1
    GET /events?since=x
    GET /events?since=1&until=2&filters=x
  `, { view: "json", mask: [/\b1\d{18}\b/g] }),
  row("events out of memory", `
    once --memory 10m bb sh -c 'x=$(head -c 30000000 /dev/zero | tr "\\\\0" x); echo no'
    events --since @began --until @now
  `),
  row("bad bodies", `
    POST /containers/create
    POST /containers/create {
    POST /containers/create []
    POST /containers/create null
    POST /containers/create {"Image":5}
    POST /containers/create {"Image":"bb"} {}
    POST /containers/create {"Image":"bb","Cmd":"true"}
    POST /containers/create {"image":"bb","cmd":["true"],"hostconfig":{"networkmode":"none"}}
    POST /containers/create {}
    POST /containers/create {"Image":""}
    POST /containers/create?name=x%20y {"Image":"bb"}
    POST /containers/create {"Image":"bb","HostConfig":{"Memory":"x"}}
    POST /containers/create \
      {"Image":"bb","HostConfig":{"NetworkMode":"a","PortBindings":{"80/tcp":[{"HostPort":"x"}]}}}
    POST /containers/create {"Image":"bb","Env":["=x"]}
    POST /containers/create {"Image":"bb","WorkingDir":"relative"}
  `),
  row("start with one body", `
    create --name one bb
    POST /containers/one/start {"Binds":[]}
    POST /containers/one/start
    POST /containers/one/start?checkpoint=x
    POST /containers/one/stop?t=x
    POST /containers/one/kill?signal=x
    POST /containers/one/resize?h=x&w=1
    POST /containers/one/resize?h=1&w=1
    DELETE /containers/one?force=nonsense
    DELETE /containers/one
  `),
  row("what is refused or missing", `
    exec nosuch true
    cp nosuch:/x /tmp
    export nosuch
    commit nosuch
    swarm init
    service ls
    plugin ls
    secret ls
    config ls
    stack ls
    node ls
    login -u one -p two 127.0.0.1:1
    search x
  `),
]
