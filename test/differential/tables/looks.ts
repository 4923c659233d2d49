import {
  BAD_JSON, CREATED_INSPECT, DNS_NAMES_OF, STARTED_INSPECT,
} from "../known.ts"
import { type Row, row } from "../row.ts"

/** Containers in every state, with what lists look for. */
const SEEN = `
  run -d --name up --label kind=a --label x bb sleep 100
  run -d --name named-web --label kind=b -p 127.0.0.1:8080:80 --expose 99 bb sleep 100
  once --rm=false --name done-3 bb sh -c 'exit 3'
  once --rm=false --name done-0 -v @shared:/b bb true
  create --name fresh --network none full:1
`

/** What is only looked at: lists, inspect, top, stats. */
export const looks: readonly Row[] = [
  row("ps", `
    ${SEEN}
    ps
    ps -a
    ps -q
    ps -aq
    ps -n 2
    ps -l
    ps -a --no-trunc
    ps -as
    ps -a --format '{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Status}}|{{.Ports}}'
    ps -a --format '{{.Labels}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.RunningFor}}'
    ps -a --format '{{.Size}}'
    ps -a --format 'table {{.Names}} {{.Label "kind"}}'
    ps -n 0 -q
    ps -n -1 -q
    ps -n nonsense
    ps --format '{{.Nothing}}'
    names -a --filter status=running
    names -a --filter status=exited
    names -a --filter status=created
    names --filter status=created
    names -a --filter status=nonsense
    names -a --filter name=done
    names -a --filter name=^/done-3$
    names -a --filter name=^done-3$
    names -a --filter name=DONE
    names -a --filter name='['
    names -a --filter label=kind
    names -a --filter label=kind=a
    names -a --filter label=kind=c
    names -a --filter label!=x
    names -a --filter ancestor=busybox
    names -a --filter ancestor=bb
    names -a --filter ancestor=full:1
    names -a --filter ancestor=@full
    names -a --filter ancestor=nosuch
    names -a --filter exited=3
    names -a --filter exited=0
    names -a --filter exited=nonsense
    names --filter exited=3
    names -a --filter publish=8080
    names -a --filter publish=80
    names -a --filter publish=8080/udp
    names -a --filter publish=8000-8100
    names -a --filter expose=99/tcp
    names -a --filter volume=/b
    names -a --filter volume=@shared
    names -a --filter volume=/nothing
    names -a --filter network=bridge
    names -a --filter network=nothing
    names -a --filter before=fresh
    names -a --filter since=up
    names -a --filter since=nosuch
    names -a --filter before=nosuch
    names -a --filter health=none
    names -a --filter health=healthy
    names -a --filter health=nonsense
    names -a --filter id=nonsense
    names -a --filter is-task=true
    names -a --filter is-task=maybe
    names -a --filter bogus=1
    names -a --filter isolation=default
    names --filter name=up --filter status=exited
    names -a --filter name=up --filter name=fresh
  `),
  row("ps by exposed port", `
    create --name fresh full:1
    names -a --filter expose=80
    names -a --filter expose=nonsense
  `, {
    differs: {
      stdout: "newer Dockers look at what was agreed, not at what is open just now",
      stderr: "it says what is wrong",
    },
  }),
  row("lists as JSON", `
    ${SEEN}
    ps -a --format json
    GET /containers/json?all=1
    GET /containers/json?limit=1
    GET /containers/json?size=1
    GET /containers/json?filters={}
    GET /v1.24/containers/json?all=1
    GET /containers/json?all=nonsense
    GET /containers/json?filters={"name":{"up":true}}
  `, {
    view: "json",
    anyOrder: true,
    differs: {
      "body[].NetworkSettings.Networks.none.DNSNames": "new in API 1.44",
      "body[].NetworkSettings.Networks.bridge.DNSNames": "the same",
      "body[].SizeRw": "Go leaves a zero out here: nothing is lost by saying it",
    },
  }),
  row("lists asked for wrongly", `
    GET /containers/json?limit=nonsense
    GET /containers/json?filters={
  `, { differs: { status: BAD_JSON, "body.message": BAD_JSON } }),
  row("inspect, created", `
    create --name plain bb
    inspect plain
    create --name filled full:1
    inspect filled
    inspect -s plain
  `, { view: "json", differs: CREATED_INSPECT }),
  row("inspect, running and ended", `
    run -d --name plain bb sleep 100
    inspect plain
    stop -t 0 plain
    inspect plain
  `, {
    view: "json",
    differs: {
      ...STARTED_INSPECT,
      ...DNS_NAMES_OF("bridge"),
      "stdout[].NetworkSettings.SandboxID": "the namespace ends with its process",
    },
  }),
  row("inspect, every option", `
    run -d --name all -u 5:6 -w /tmp -e A=b -l a=b --entrypoint sh \
      --add-host x:1.2.3.4 --cap-add NET_ADMIN --cap-drop CHOWN --cpu-shares 7 --cpus 0.5 \
      --device /dev/null:/dev/n --dns 1.1.1.1 --dns-option ndots:1 --dns-search a.b --expose 70 \
      --group-add 3 --init --ipc shareable --log-opt max-size=1m --memory 32m \
      --memory-reservation 16m --memory-swap 64m --memory-swappiness 5 --oom-score-adj 7 \
      --pids-limit 50 -p 127.0.0.1:8080:80 -p 127.0.0.1:8081:81/udp --read-only \
      --restart on-failure:3 --security-opt no-new-privileges --shm-size 1m --stop-signal INT \
      --stop-timeout 3 --sysctl net.ipv4.ip_forward=1 --tmpfs /t:size=1m --ulimit nofile=100:200 \
      -v @shared:/b:ro --mount type=bind,source=@shared,target=/c -i -t --cpuset-cpus 0 \
      --uts host --pid host --device-cgroup-rule 'c 1:3 r' --userns host bb -c 'sleep 100'
    inspect all
  `, {
    view: "json",
    anyOrder: true,
    differs: {
      ...STARTED_INSPECT,
      ...DNS_NAMES_OF("bridge"),
      "stdout[].HostConfig.SecurityOpt": "nobody asked for label=disable",
    },
  }),
  row("inspect, other networks", `
    once --rm=false -d --name alone bb sleep 100
    inspect alone
    run -d --name hosted --network host bb sleep 100
    inspect hosted
    run -d --name three --network container:alone bb sleep 100
    inspect three
  `, {
    view: "json",
    differs: { ...STARTED_INSPECT, ...DNS_NAMES_OF("none"), ...DNS_NAMES_OF("host") },
  }),
  row("inspect wrongly", `
    inspect nosuch
    inspect --type container nosuch
    inspect --type nonsense x
    inspect
    create --name one bb
    inspect -f '{{.Nope}}' one
    inspect -f '{{' one
    inspect one nosuch -f '{{.Name}}'
    inspect --type image one
    inspect -f '{{.Name}}' one bb
  `),
  row("top", `
    once --rm=false -d --name one bb sleep 100
    top one -o comm,args
    top one -o pid,comm,args
    top one -eo comm
    top one
    top one aux
    top one -o nonsense
    top nosuch
    stop -t 0 one
    top one
  `, { mask: [/\b[\d.:]+\b/g, /<masked>(%|[-:.])?/g] }),
  row("stats", `
    once --rm=false -d --name one bb sleep 100
    GET /containers/one/stats?stream=0&one-shot=1
    GET /containers/one/stats?stream=0
    GET /containers/nosuch/stats?stream=0
    kill one
    wait one
    GET /containers/one/stats?stream=0
  `, {
    view: "shape",
    differs: { "body.memory_stats.stats": "as the kernel has it: newer ones count more" },
    may: {
      "body.precpu_stats": "Docker takes its first sample late",
      "body.preread": "the same",
    },
  }),
  row("stats by the CLI", `
    once --rm=false -d --name one --memory 64m bb sleep 100
    stats --no-stream one
    stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' one
    stats --no-stream nosuch
  `, { mask: [/[\d.]+%/g, /[\d.]+ ?[kMGKT]?i?B/g] }),
  row("changes", `
    once --rm=false --name one bb sh -c 'echo x > /new; rm /etc/passwd; echo y >> /etc/group; \
      mkdir -p /d/e; touch /d/e/f; chmod 750 /root; rm -r /var; mkdir /var; ln -s x /link; \
      rm /bin/ls; echo z > /bin/ls; touch /tmp/gone; rm /tmp/gone'
    diff one
    diff nosuch
    create --name two bb
    diff two
  `, { anyOrder: true }),
]
