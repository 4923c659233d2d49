import { type Row, row } from "../row.ts"

export const looks: readonly Row[] = [
  row("ps", `
    run -d --name up --label kind=a --label x bb sleep 100
    run -d --name named-web --label kind=b -p 8080:80 --expose 99 bb sleep 100
    run --name done-3 bb sh -c 'exit 3'
    run --name done-0 -v @shared:/b bb true
    create --name fresh --network none full:1
    ps
    ps -a
    ps -q
    ps -aq
    ps -n 2
    ps -l
    ps -a --no-trunc
    ps -as
    ps -a --format \
      '{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Status}}|{{.Ports}}|{{.Labels}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.RunningFor}}|{{.Size}}'
    ps -a --format 'table {{.Names}} {{.Label "kind"}}'
    ps -n 0 -q
    ps -n -1 -q
    ps -n nonsense
    ps --format '{{.Nothing}}'
  `),
  row("ps by filter", `
    run -d --name up --label kind=a --label x bb sleep 100
    run -d --name named-web --label kind=b -p 8080:80 --expose 99 bb sleep 100
    run --name done-3 bb sh -c 'exit 3'
    run --name done-0 -v @shared:/b bb true
    create --name fresh --network none full:1
    ps -a --filter status=running --format '{{.Names}}'
    ps -a --filter status=exited --format '{{.Names}}'
    ps -a --filter status=created --format '{{.Names}}'
    ps -a --filter status=nonsense --format '{{.Names}}'
    ps -a --filter name=done --format '{{.Names}}'
    ps -a --filter name=^/done-3$ --format '{{.Names}}'
    ps -a --filter name=^done-3$ --format '{{.Names}}'
    ps -a --filter name=DONE --format '{{.Names}}'
    ps -a --filter name='[' --format '{{.Names}}'
    ps -a --filter label=kind --format '{{.Names}}'
    ps -a --filter label=kind=a --format '{{.Names}}'
    ps -a --filter label=kind=c --format '{{.Names}}'
    ps -a --filter label!=x --format '{{.Names}}'
    ps -a --filter ancestor=busybox --format '{{.Names}}'
    ps -a --filter ancestor=bb --format '{{.Names}}'
    ps -a --filter ancestor=full:1 --format '{{.Names}}'
    ps -a --filter ancestor=edea4b26e86c --format '{{.Names}}'
    ps -a --filter ancestor=nosuch --format '{{.Names}}'
    ps -a --filter exited=3 --format '{{.Names}}'
    ps -a --filter exited=0 --format '{{.Names}}'
    ps -a --filter exited=nonsense --format '{{.Names}}'
    ps -a --filter publish=8080 --format '{{.Names}}'
    ps -a --filter publish=80 --format '{{.Names}}'
    ps -a --filter publish=8080/udp --format '{{.Names}}'
    ps -a --filter publish=8000-8100 --format '{{.Names}}'
    ps -a --filter expose=80 --format '{{.Names}}'
    ps -a --filter expose=99/tcp --format '{{.Names}}'
    ps -a --filter expose=nonsense --format '{{.Names}}'
    ps -a --filter volume=/b --format '{{.Names}}'
    ps -a --filter volume=@shared --format '{{.Names}}'
    ps -a --filter volume=/nothing --format '{{.Names}}'
    ps -a --filter network=bridge --format '{{.Names}}'
    ps -a --filter network=none --format '{{.Names}}'
    ps -a --filter network=nothing --format '{{.Names}}'
    ps -a --filter before=fresh --format '{{.Names}}'
    ps -a --filter since=up --format '{{.Names}}'
    ps -a --filter since=nosuch --format '{{.Names}}'
    ps -a --filter before=nosuch --format '{{.Names}}'
    ps -a --filter health=none --format '{{.Names}}'
    ps -a --filter health=healthy --format '{{.Names}}'
    ps -a --filter health=nonsense --format '{{.Names}}'
    ps -a --filter id=nonsense --format '{{.Names}}'
    ps -a --filter is-task=true --format '{{.Names}}'
    ps -a --filter is-task=maybe --format '{{.Names}}'
    ps -a --filter bogus=1 --format '{{.Names}}'
    ps -a --filter isolation=default --format '{{.Names}}'
    ps --filter name=up --filter status=exited --format '{{.Names}}'
    ps -a --filter name=up --filter name=fresh --format '{{.Names}}'
    ps --filter exited=3 --format '{{.Names}}'
    ps --filter status=created --format '{{.Names}}'
  `),
  row("ps as JSON", `
    run -d --name up --label kind=a --label x bb sleep 100
    run -d --name named-web --label kind=b -p 8080:80 --expose 99 bb sleep 100
    run --name done-3 bb sh -c 'exit 3'
    run --name done-0 -v @shared:/b bb true
    create --name fresh --network none full:1
    ps -a --format json
  `, { view: "json" }),
  row("the list over the socket", `
    run -d --name up --label kind=a --label x bb sleep 100
    run -d --name named-web --label kind=b -p 8080:80 --expose 99 bb sleep 100
    run --name done-3 bb sh -c 'exit 3'
    run --name done-0 -v @shared:/b bb true
    create --name fresh --network none full:1
    GET /containers/json?all=1
    GET /containers/json?limit=1
    GET /containers/json?size=1
    GET /containers/json?limit=nonsense
    GET /containers/json?filters={}
    GET /containers/json?filters={
    GET /v1.24/containers/json?all=1
    GET /containers/json?all=nonsense
    GET /containers/json?filters={"name":{"up":true}}
  `, { view: "json" }),
  row("inspect, created", `
    create --name plain bb
    inspect plain
    create --name filled full:1
    inspect filled
    create --name vols volumes:1
    inspect -s plain
  `, { view: "json" }),
  row("inspect, running", `
    run -d --name plain bb sleep 100
    inspect plain
    stop -t 0 plain
    inspect plain
  `, { view: "json", mask: [/"Pid":\d+/g] }),
  row("inspect, every option", `
    run -d --name all -h host --domainname dom -u 5:6 -w /tmp -e A=b -l a=b --entrypoint sh \
      --add-host x:1.2.3.4 --cap-add NET_ADMIN --cap-drop CHOWN --cpu-shares 7 --cpus 0.5 \
      --device /dev/null:/dev/n --dns 1.1.1.1 --dns-option ndots:1 --dns-search a.b --expose 70 \
      --group-add 3 --health-cmd true --health-interval 5s --init --ipc shareable --log-opt \
      max-size=1m --memory 32m --memory-reservation 16m --memory-swap 64m --oom-score-adj 7 \
      --pids-limit 50 -p 8080:80 -p 127.0.0.1:8081:81/udp --read-only --restart on-failure:3 \
      --security-opt no-new-privileges --shm-size 1m --stop-signal INT --stop-timeout 3 --sysctl \
      net.ipv4.ip_forward=1 --tmpfs /t:size=1m --ulimit nofile=10:20 -v @shared:/b:ro --mount \
      type=bind,source=@shared,target=/c -i -t --cpuset-cpus 0 --uts host --pid host \
      --device-cgroup-rule 'c 1:3 r' --annotation a=b --cgroup-parent /be-diff bb -c 'sleep 100'
    inspect all
  `, { view: "json" }),
  row("inspect, other networks", `
    run -d --name alone --network none bb sleep 100
    inspect alone
    run -d --name hosted --network host bb sleep 100
    inspect hosted
    run -d --name three --network container:alone bb sleep 100
    inspect three
  `, { view: "json" }),
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
    run -d --name one bb sleep 100
    top one -o comm,args
    top one -eo comm
    top one
    top one aux
    top one -o nonsense
    top nosuch
    stop -t 0 one
    top one
  `, { mask: [/\b\d{2,}\b/g, /\d\d:\d\d(:\d\d)?/g, /<masked>:<masked>/g] }),
  row("stats", `
    run -d --name one bb sleep 100
    GET /containers/one/stats?stream=0
    GET /containers/one/stats?stream=0&one-shot=1
    GET /containers/nosuch/stats?stream=0
    kill one
    GET /containers/one/stats?stream=0
  `, { view: "shape" }),
  row("stats by the CLI", `
    run -d --name one --memory 64m bb sleep 100
    stats --no-stream one
    stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' one
    stats --no-stream nosuch
    stats --no-stream -a
  `, { mask: [/[\d.]+%/g, /[\d.]+[kMG]?i?B/g] }),
  row("changes", `
    run --name one bb sh -c 'echo x > /new; rm /etc/passwd; echo y >> /etc/group; mkdir -p /d/e; \
      touch /d/e/f; chmod 700 /root; rm -r /var; mkdir /var; ln -s x /link'
    diff one
    diff nosuch
    create --name two bb
    diff two
  `),
]
