import { BAD_JSON, NO_IPV6 } from "../known.ts"
import { type Row, row } from "../row.ts"

/** A container led through its life. */
export const lives: readonly Row[] = [
  row("created, started, stopped, removed", `
    create --network none --name one bb sleep 100
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
    create --pull never nosuch
    create --name two
    create --name /c bb
    create --name three bb
    create --name 'd e' bb
    create --name x bb
    create none:1
    create 'Bad:Image:Name'
    POST /containers/create?platform=nonsense/x {"Image":"bb"}
    POST /containers/create?platform=linux {"Image":"bb"}
  `, { may: { "body.message": "Docker has no words for it" } }),
  row("started and attached", `
    create --network none --name one bb sh -c 'echo out; echo err >&2; exit 4'
    start -a one
    start -ai one
    start one nosuch
    start nosuch
    start -a one nosuch
    wait one
    logs one
  `, { may: { "stdout": "two streams have no order", stderr: "the same" } }),
  row("stop by signal and by force", `
    once --rm=false -d --name one bb \
      sh -c 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 0.1; done'
    says ready one
    stop one
    state one
    logs one
    once --rm=false -d --name two --stop-signal KILL bb sleep 100
    stop two
    state two
    once --rm=false -d --name three --stop-timeout 1 bb \
      sh -c 'trap "" TERM; echo ready; sleep 100 & wait; wait'
    says ready three
    stop three
    state three
    stop nosuch
    stop one nosuch two
    stop -t nonsense one
    stop -s NONSENSE one
  `),
  row("kill", `
    once --rm=false -d --name one bb \
      sh -c 'trap "echo got; exit 7" TERM; trap "echo usr" USR1; echo ready; \
      while :; do sleep 0.1; done'
    says ready one
    kill -s NONSENSE one
    kill -s 0 one
    kill -s USR2 nosuch
    kill -s USR1 one
    says usr one
    state one
    kill -s SIGTERM one
    wait one
    kill one
    logs one
    kill nosuch
    start one
    kill -s 9 one
    wait one
    state one
  `),
  row("kill with a signal there is none of", `
    create --name one bb
    kill -s 99 one
  `, { differs: { stderr: "a number nobody has is as wrong as a name nobody has" } }),
  row("pause", `
    once --rm=false -d --name one bb sleep 100
    pause one
    state one
    ps --format '{{.Status}}'
    pause one
    start one
    restart -t 0 one
    state one
    pause one
    rm one
    attach one
    kill one
    wait one
    state one
    unpause one
    pause one
    pause nosuch
    unpause nosuch
  `),
  row("paused, then stopped", `
    once --rm=false -d --name one bb sleep 100
    pause one
    stop -t 1 one
    state one
    rm one
    once --rm=false -d --name two bb sleep 100
    pause two
    rm -f two
  `),
  row("wait", `
    once --rm=false -d --name one bb sh -c 'exit 5'
    wait one
    wait one one
    wait nosuch
    wait one nosuch
    create --name two bb
    wait two
  `),
  row("wait over the socket", `
    once --rm=false -d --name one bb sh -c 'sleep 1; exit 5'
    POST /containers/one/wait?condition=next-exit
    POST /containers/one/wait
    POST /containers/nosuch/wait
    once -d --name two bb sh -c 'sleep 1; exit 6'
    POST /containers/two/wait?condition=removed
    POST /v1.29/containers/one/wait
  `),
  row("wait for nonsense", `
    create --name one bb
    POST /containers/one/wait?condition=nonsense
  `, { differs: { status: "newer Dockers refuse it", body: "the same" } }),
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
    once --rm=false -d --name one bb sleep 100
    rm one
    rm -v one
    rm -f one nosuch
    create --name two bb
    create --name three bb
    rm two three nosuch
  `),
  row("removed at its end", `
    once -d --name one bb sleep 100
    stop -t 0 one
    ps -aq --filter name=one
    once --name one bb false
    ps -aq
  `),
  row("prune", `
    create --name one --label x=1 bb
    once --rm=false -d --name two bb sleep 100
    container prune -f --filter label=x=2
    container prune -f --filter label=x=1
    container prune -f --filter label!=y
    container prune -f --filter bogus=1
    names -a
  `, { anyOrder: true }),
  row("restart policies", `
    once --rm=false -d --name one --restart on-failure:2 bb sh -c 'exit 3'
    until exited one
    state one
    once --rm=false -d --name two --restart on-failure:2 bb true
    until exited two
    state two
    once --rm=false -d --name three --restart always bb sleep 100
    kill three
    until exited three
    state three
    start three
    stop -t 0 three
    state three
    restart -t 0 three
    state three
  `),
  row("restart of what crashes", `
    once --rm=false -d --name one --restart always bb sh -c 'exit 3'
    until restarting one
    stop -t 0 one
    inspect -f '{{.State.Status}} {{.State.ExitCode}}' one
    rm -f one
  `),
  row("restart", `
    restart nosuch
    create --network none --name one bb sleep 100
    restart -t 0 one
    state one
    restart -t nonsense one
    restart -t 0 one nosuch
  `),
  row("update", `
    once --rm=false -d --name one --memory 32m --memory-swap 64m bb sleep 100
    update --memory 48m one
    inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' one
    update --memory 128m one
    update --memory 128m --memory-swap 256m --cpus 0.5 --pids-limit 30 one
    inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' one
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
    POST /containers/one/update {}
    inspect -f '{{json .HostConfig.RestartPolicy}}' one
  `),
  row("update by what is no JSON", `
    create --name one bb
    POST /containers/one/update {
  `, { differs: { status: BAD_JSON, "body.message": BAD_JSON } }),
  row("out of memory", `
    once --rm=false --name one --memory 10m bb \
      sh -c 'x=$(head -c 30000000 /dev/zero | tr "\\\\0" x); echo no'
    state one
  `),
]

const PUBLISHED = {
  stdout: NO_IPV6,
}

/** Ports on the host. */
export const ports: readonly Row[] = [
  row("published", `
    run -d --name one -p 8080:80 -p 127.0.0.1:8081:81/tcp -p 8053:53/udp --expose 99 bb sleep 100
    port one
    port one 80
    port one 80/tcp
    port one 53/udp
    ps --format '{{.Ports}}'
    inspect -f '{{json .NetworkSettings.Ports}}' one
  `, { differs: PUBLISHED }),
  row("taken, freed, not there", `
    run -d --name one -p 8080:80 -p 127.0.0.1:8081:81 -p 8053:53/udp bb sleep 100
    port one 53
    port one 7
    port one nonsense
    port nosuch
    run --rm --name two -p 8080:80 bb true
    run --rm -p 8053:53/tcp bb echo other
    stop -t 0 one
    port one
    inspect -f '{{json .NetworkSettings.Ports}}' one
    ps -a --format '{{.Ports}}'
    run --rm -p 8080:80 bb echo free
  `),
  row("taken by every address", `
    run -d --name one -p 8080:80 bb sleep 100
    run --rm --name two -p 127.0.0.1:8080:80 bb true
  `, { differs: { stderr: "no proxy has to listen before that is known" } }),
  row("chosen", `
    run -d --name one -P --entrypoint /bin/sleep full:1 100
    port one
    ps --format '{{.Ports}}'
    run -d --name two -p 80 -p 127.0.0.1::81 bb sleep 100
    port two
    run -d --name three -p 7000-7002:80 bb sleep 100
    port three
    inspect -f '{{json .HostConfig.PortBindings}}' three
    run -d --name four -p 7100-7101:90-91 bb sleep 100
    port four
  `, { mask: [/\b[3-6]\d{4}\b/g], differs: PUBLISHED }),
  row("wrong", `
    run --rm -p nonsense bb
    run --rm -p 99999:80 bb
    run --rm -p 80:80/nonsense bb
    run --rm -p 1.2.3:80:80 bb
    run --rm --expose nonsense bb
    run --rm -p 7000-7001:90-92 bb true
  `),
]
