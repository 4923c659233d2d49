import { BAD_JSON } from "../known.ts"
import { type Row, row } from "../row.ts"

const NO_SWARM = "balenaEngine has no swarm and no plugins: there is no such page"

/** The engine itself: what it is and what it holds. */
export const engine: readonly Row[] = [
  row("version", "GET /version", {
    view: "shape",
    differs: { "body.Engine": "by which a supervisor knows balenaEngine" },
  }),
  row("ping", `
    GET /_ping
    GET /v1.24/_ping
  `),
  row("info", "GET /info", {
    view: "shape",
    differs: {
      "body.KernelMemory": "gone since API 1.42",
      "body.KernelMemoryTCP": "gone since API 1.42",
    },
  }),
  row("paths that lead nowhere", `
    GET /v1.x/containers/json
    GET /nonsense
    POST /containers/json
    DELETE /version
    GET /v1.41
    PUT /nonsense
  `),
  row("versions too old or too new", `
    GET /v1.23/containers/json
    GET /v1.99/containers/json
  `, {
    differs: {
      "body.message": "each names the newest version it speaks itself",
      status: "this engine keeps to what newer Dockers no longer speak",
      body: "the same",
    },
  }),
  row("disk", `
    create --name one full:1
    GET /system/df
  `, {
    view: "shape",
    anyOrder: true,
    differs: {
      "body.BuilderSize": "gone since API 1.42",
      "body.Containers[].SizeRw": "Go leaves a zero out here: nothing is lost by saying it",
      "body.Containers[].NetworkSettings.Networks.bridge.DNSNames": "new in API 1.44",
    },
  }),
  row("disk by the CLI", `
    create --name one bb
    system df
    system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
    system df -v
  `, { anyOrder: true }),
  row("networks", `
    GET /networks?filters={"name":["host"]}
    GET /networks?filters={"name":["bridge"]}
    once --rm=false -d --network bridge --name one bb sleep 100
    network inspect bridge
    network inspect host
    network inspect none
  `, {
    view: "json",
    // Docker names them in the order of a map.
    mask: [/bridge, none|none, bridge/g],
    differs: {
      "body[].Created": "they were always there",
      "stdout[].Created": "the same",
      "body[].EnableIPv4": "new in API 1.48",
      "stdout[].EnableIPv4": "the same",
      "stdout[].Options.com.docker.network.bridge.name": "balenaEngine's bridge is balena0",
      "body[].Options.com.docker.network.bridge.name": "the same",
    },
    may: {
      "body[].IPAM.Config": "a range is chosen when the bridge is made, with the first container",
      "stdout[].IPAM.Config[].Gateway": "Docker says it only of a bridge that was there before",
    },
  }),
  row("networks by the CLI", `
    network ls
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
  row("bad bodies", `
    POST /containers/create
    POST /containers/create {
    POST /containers/create []
    POST /containers/create {"Image":5}
    POST /containers/create {"Image":"bb","HostConfig":{"Memory":"x"}}
    POST /containers/one/update {
  `, { differs: { "body.message": BAD_JSON, status: BAD_JSON } }),
  row("more than one body", `POST /containers/create {"Image":"bb"} {}`, {
    differs: { status: "newer Dockers refuse it", body: "the same" },
  }),
  row("odd bodies", `
    POST /containers/create null
    POST /containers/create {"Image":"bb","Cmd":"true"}
    POST /containers/create {"image":"bb","cmd":["true"],"hostconfig":{"networkmode":"none"}}
    POST /containers/create {}
    POST /containers/create {"Image":""}
    POST /containers/create?name=x%20y {"Image":"bb"}
    POST /containers/create \
      {"Image":"bb","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"x"}]}}}
    POST /containers/create {"Image":"bb","Env":["=x"]}
    POST /containers/create {"Image":"bb","WorkingDir":"relative"}
    POST /containers/create?name=one {"Image":"bb"}
    POST /containers/one/start {"Binds":[]}
    POST /containers/one/start
    POST /containers/one/kill?signal=x
    POST /containers/one/resize?h=x&w=1
    DELETE /containers/one?force=nonsense
    DELETE /containers/one?force=1
  `),
  row("what is missing of nobody", `
    exec nosuch true
    cp nosuch:/x /tmp
    export nosuch
    commit nosuch
    secret ls
    config ls
    stack ls
    node ls
  `, { may: { stderr: NO_SWARM } }),
  row("no plugins", "plugin ls", {
    differs: { code: NO_SWARM, stdout: NO_SWARM, stderr: NO_SWARM },
  }),
]
