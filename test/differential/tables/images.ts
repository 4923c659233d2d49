import { BAD_JSON, BUILT_INSPECT, IMAGE_INSPECT } from "../known.ts"
import { type Row, row } from "../row.ts"

/** Images: listed, inspected, named, unnamed, loaded. */
export const images: readonly Row[] = [
  row("list", `
    images
    images -a
    images --no-trunc
    images -q
    image ls busybox
    images bb
    images nothing
    images 'full*'
    images '*:1'
    images --digests
  `, { anyOrder: true }),
  row("list by filter", `
    images -f label=org.example.name=full
    images -f label=empty
    images -f label=none
    images -f reference=busybox
    images -f reference='bu*:1.*'
    images -f dangling=true
    images -f dangling=false
    images -f before=full:1
    images -f since=bb
    images -f before=nothing
    images -f bogus=1
    images -f dangling=maybe
    images -f reference='['
  `, { anyOrder: true }),
  row("list by format", `
    images --format '{{.Repository}}|{{.Tag}}|{{.ID}}|{{.Digest}}|{{.CreatedSince}}|{{.Size}}'
    images --format json
    images --format 'table {{.ID}} {{.CreatedAt}}'
  `, { anyOrder: true }),
  row("list over the socket", `
    GET /images/json?filters={"reference":["full:1"]}
    GET /images/json?all=1&filters={"reference":["busybox"]}
    GET /images/json?digests=1&filters={"reference":["volumes:1"]}
    GET /images/json?filter=busybox
    GET /v1.24/images/json?filters={"reference":["full:1"]}
    GET /images/json?filters={"reference":{"full:1":true}}
  `, { view: "json", anyOrder: true }),
  row("filters that are no JSON", "GET /images/json?filters=nonsense", {
    differs: { status: BAD_JSON, "body.message": BAD_JSON },
  }),
  row("inspect", `
    image inspect full:1
    image inspect none:1
    image inspect volumes:1
    inspect --type image full:1
  `, { view: "json", differs: IMAGE_INSPECT }),
  row("inspect one that Docker built", "image inspect bb", {
    view: "json",
    differs: {
      ...BUILT_INSPECT,
      "stdout[].Config.Image": "always empty since API 1.50: it means nothing on this machine",
    },
  }),
  row("inspect what is not there", `
    image inspect nothing
    image inspect no/thing:x
    image inspect -f '{{.Id}}' full:1 nothing
    inspect nothing
    image inspect sha256:0000
    image inspect -f '{{.Id}}' @full
    image inspect full@sha256:0000000000000000000000000000000000000000000000000000000000000000
    image inspect 'Bad Name'
  `),
  row("inspect by format", `
    image inspect -f '{{.Config.Env}} {{.Os}}' full:1
    image inspect -f '{{json .Config}}' full:1
    image inspect -f '{{.Nothing}}' full:1
    image inspect -f '{{json .RootFS}} {{.Size}}' bb
  `),
  row("history", `
    history bb
    history full:1
    history --no-trunc bb
    history -q full:1
    history -H=false full:1
    history nothing
    history --format json bb
  `),
  row("history over the socket", `
    GET /images/bb/history
    GET /images/full:1/history
    GET /images/nothing/history
  `, { view: "json" }),
  row("tag and untag", `
    tag bb mine:a
    tag bb mine
    images mine
    tag mine:a example.org:5000/deep/er/mine:b
    images example.org:5000/deep/er/mine
    images --format '{{.Repository}}' 'example.org:5000/*/*/*'
    image inspect -f '{{.RepoTags}}' bb
    rmi mine:a
    rmi mine mine
    rmi example.org:5000/deep/er/mine:b
    images mine
  `),
  row("tag wrongly", `
    tag nothing mine
    tag bb Mine
    tag bb mine:t@g
    tag bb mine:-x
    tag bb ''
    tag bb 0123456789012345678901234567890123456789012345678901234567890123
  `),
  row("tag moved to another image", `
    tag bb moving
    tag full:1 moving
    image inspect -f '{{.Id}}' moving
    rmi moving
  `),
  row("remove what is not there or in use", `
    rmi nothing
    rmi nothing mine
    rmi -f nothing
    create --name user full:1
    rmi full:1
    tag full:1 other
    rmi full:1
    rmi other
    tag other full:1
    rmi @full
    rm user
    rmi other
  `),
  row("remove by ID", `
    tag none:1 none:2
    image rm @none
    image rm none:2
    image rm @none
    load -i @shared/images.tar
  `),
  row("load", `
    load -i @shared/images.tar
    load -q -i @shared/images.tar
    load -i @shared/nothing.tar
  `),
  row("load what is no archive", `
    POST /images/load garbage
    POST /images/load
    POST /images/load?quiet=1 garbage
  `, {
    view: "json",
    differs: {
      "body.error": "Docker shows its own directories and children",
      "body.errorDetail": "the same",
    },
  }),
  row("push what is not here", `
    push nothing
    push -a nothing
    tag bb mine:1
    push mine:2
    rmi mine:1
  `, {
    differs: {
      stdout: "Docker's API says 404; dockerd says it behind a first line of its stream",
      stderr: "the same: its command line then shows that it is the daemon's answer",
    },
  }),
  row("push to where nobody is", `
    tag bb 127.0.0.1:1/mine:a
    tag bb 127.0.0.1:1/mine:b
    push 127.0.0.1:1/mine:a
    push -q 127.0.0.1:1/mine:a
    push -a 127.0.0.1:1/mine
    rmi 127.0.0.1:1/mine:a 127.0.0.1:1/mine:b
  `),
  row("push wrongly", `
    push Mine
    push bb@sha256:0000000000000000000000000000000000000000000000000000000000000000
  `),
  row("prune", `
    image prune -f
    image prune -f --filter label=x
    image prune -f --filter bogus=x
  `),
]
