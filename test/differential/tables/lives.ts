import { type Row, row } from "../row.ts"

export const lives: readonly Row[] = [
  row("created, started, stopped, removed", `
    create --name one bb sleep 100
    state one
    start one
    state one
    start one
    stop -t 0 one
    state one
    stop one
    start one
    restart -t 0 one
    state one
    rm one
    rm -f one
    rm one
    inspect one
  `),
  row("create", `
    create bb
    create --name one bb true
    create --name one bb true
    create nosuch
    create --name two
    create --name /c bb
    create --name three bb
    create --name 'd e' bb
    create --name ex bb
    create none:1
    create 'Bad:Image:Name'
    create --platform nonsense/x bb
    create --platform linux/arm64 bb
  `),
  row("started and attached", `
    create --name one bb sh -c 'echo out; echo err >&2; exit 4'
    start -a one
    start -a one
    start -ai one
    start one nosuch
    start nosuch
    start -a one nosuch
    logs one
  `),
  row("stop by signal and by force", `
    run -d --name one bb sh -c 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 0.1; \
      done'
    sleep 0.5
    stop one
    state one
    logs one
    run -d --name two --stop-signal KILL bb sleep 100
    stop two
    state two
    run -d --name three --stop-timeout 1 bb sh -c 'trap "" TERM; sleep 100 & wait; wait'
    sleep 0.5
    stop three
    state three
    stop nosuch
    stop one nosuch two
    stop -t nonsense one
    stop -s NONSENSE one
    stop -t 0 -s KILL one
  `),
  row("kill", `
    run -d --name one bb sh -c 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 0.1; \
      done'
    sleep 0.5
    kill -s NONSENSE one
    kill -s 0 one
    kill -s 99 one
    kill -s USR2 nosuch
    kill -s SIGTERM one
    wait one
    kill one
    logs one
    kill nosuch
    start one
    kill -s 9 one
    state one
  `),
  row("kill that does not end it", `
    run -d --name one bb sh -c 'trap "echo usr" USR1; echo ready; while :; do sleep 0.1; done'
    sleep 0.5
    kill -s USR1 one
    sleep 0.5
    logs one
    state one
  `),
  row("pause", `
    run -d --name one bb sleep 100
    pause one
    state one
    ps --format '{{.Status}}'
    pause one
    start one
    restart -t 0 one
    pause one
    rm one
    attach one
    top one
    kill one
    wait one
    state one
    unpause one
    pause one
    pause nosuch
    unpause nosuch
  `),
  row("paused, then stopped", `
    run -d --name one bb sleep 100
    pause one
    stop -t 1 one
    state one
    rm one
    run -d --name two bb sleep 100
    pause two
    rm -f two
  `),
  row("wait", `
    run -d --name one bb sh -c 'exit 5'
    wait one
    wait one one
    wait nosuch
    wait one nosuch
    create --name two bb
    wait two
  `),
  row("wait over the socket", `
    run -d --name one bb sh -c 'sleep 0.5; exit 5'
    POST /containers/one/wait?condition=next-exit
    POST /containers/one/wait
    POST /containers/one/wait?condition=nonsense
    POST /containers/nosuch/wait
    run -d --rm --name two bb sh -c 'sleep 0.5; exit 6'
    POST /containers/two/wait?condition=removed
    POST /v1.29/containers/one/wait
  `),
  row("rename", `
    create --name one bb
    rename one two
    rename one three
    rename two two
    rename two 'x y'
    rename two ''
    create --name three bb
    rename two three
    inspect -f '{{.Name}}' two
    rename nosuch four
    rename two /four
    inspect -f '{{.Name}}' four
    POST /containers/three/rename
  `),
  row("remove", `
    rm nosuch
    rm -f nosuch
    run -d --name one bb sleep 100
    rm one
    rm -v one
    rm -f one nosuch
    create --name two bb
    create --name three bb
    rm two three nosuch
    rm --link a/b
    container prune -f --filter bogus=1
  `),
  row("removed at its end", `
    run -d --rm --name one bb sleep 100
    stop -t 0 one
    ps -aq --filter name=one
    once --name one bb false
    ps -aq
  `),
  row("prune", `
    create --name one --label x=1 bb
    run -d --name two bb sleep 100
    container prune -f --filter label=x=2
    container prune -f --filter label=x=1
    container prune -f --filter label!=y
    ps -a --format '{{.Names}}'
  `, { anyOrder: true }),
  row("restart policies", `
    run -d --name one --restart on-failure:2 bb sh -c 'exit 3'
    sleep 2
    state one
    run -d --name two --restart on-failure:2 bb true
    sleep 0.5
    state two
    run -d --name three --restart always bb sleep 100
    kill three
    sleep 0.5
    state three
    start three
    stop -t 0 three
    sleep 0.5
    state three
  `),
  row("restart of what crashes", `
    run -d --name one --restart always bb sh -c 'sleep 0.05; exit 3'
    sleep 3
    pause one
    stop -t 0 one
    inspect -f '{{.State.Status}}' one
    start one
    rm -f one
  `),
  row("restart", `
    restart nosuch
    create --name one bb sleep 100
    restart -t 0 one
    state one
    restart -t nonsense one
    restart -s KILL one
    restart one nosuch
  `),
  row("update", `
    run -d --name one --memory 32m --memory-swap 64m bb sleep 100
    update --memory 48m one
    inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' one
    update --memory 128m one
    update --memory 128m --memory-swap 256m --cpus 0.5 --pids-limit 30 one
    inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} \
      {{.HostConfig.PidsLimit}}' one
    update --cpu-quota 5000 one
    update --memory 1m one
    update nosuch
    update --memory 1g nosuch
    update --cpu-shares 100 one
    update --cpuset-cpus 99 one
    update one
    update --pids-limit 0 one
    inspect -f '{{.HostConfig.PidsLimit}}' one
    update --restart always one
    POST /containers/one/update {"RestartPolicy":{}}
    POST /containers/one/update {
    POST /containers/one/update {}
  `),
  row("out of memory", `
    run --name one --memory 10m bb sh -c 'x=$(head -c 30000000 /dev/zero | tr "\\\\0" x); echo no'
    state one
  `),
  row("a volume of the image", `
    run --name one volumes:1 sh -c 'cat /seeded/file; echo kept > /fresh/f'
    start -a one
    inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{println}}{{end}}' one
    once volumes:1 ls /seeded /fresh
    rm -v one
  `),
  row("ports", `
    run -d --name one -p 8080:80 -p 127.0.0.1:8081:81/tcp -p 8053:53/udp --expose 99 bb sleep 100
    port one
    port one 80
    port one 80/tcp
    port one 53/udp
    port one 53
    port one 7
    port one nonsense
    port nosuch
    ps --format '{{.Ports}}'
    inspect -f '{{json .NetworkSettings.Ports}}' one
    run --rm --name two -p 8080:80 bb true
    run --rm --name two -p 127.0.0.1:8080:80 bb true
    run --rm -p 8053:53/tcp bb echo other
    stop -t 0 one
    port one
    inspect -f '{{json .NetworkSettings.Ports}}' one
    ps -a --format '{{.Ports}}'
    run --rm -p 8080:80 bb echo free
    start one
    port one
  `),
  row("ports that are chosen", `
    run -d --name one -P --entrypoint /bin/sleep full:1 100
    port one
    ps --format '{{.Ports}}'
    run -d --name two -p 80 -p 127.0.0.1::81 bb sleep 100
    port two
    run -d --name three -p 7000-7002:80 bb sleep 100
    port three
    run -d --name four -p 7100-7101:90-91 bb sleep 100
    port four
    run --rm -p 7000-7001:90-92 bb true
    inspect -f '{{json .HostConfig.PortBindings}}' three
  `, { mask: [/\b[3-6]\d{4}\b/g] }),
]
