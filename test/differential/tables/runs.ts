import { RUNTIME_WORDS } from "../known.ts"
import { type Row, row } from "../row.ts"

/** One container from its beginning to its end. */
export const runs: readonly Row[] = [
  row("streams and exit codes", `
    once bb sh -c 'echo out; echo err >&2; exit 3'
    once bb sh -c 'kill -TERM $$; sleep 1'
    once -a stdout bb sh -c 'echo out; echo err >&2'
    once -i bb cat
    once bb sh -c 'exit 255'
  `),
  row("commands that cannot be run", `
    once bb nosuch
    once bb /etc
    once bb /nosuch
    once bb /etc/passwd
    once --entrypoint /app/data full:1
    once none:1
    once --entrypoint '' none:1
    once -u nobodyatall bb true
    once -u 1:nogroup bb true
    once -u : bb true
  `),
  row("commands that end before they begin", `
    once --entrypoint /app/broken full:1
    once --entrypoint /app/odd full:1
    once -w /etc/passwd bb true
  `, { differs: { stderr: RUNTIME_WORDS } }),
  row("a container that did not start stays", `
    once --rm=false --name stays bb nosuch
    state stays
    inspect -f '{{.State.Error}} {{.State.StartedAt}} {{.State.FinishedAt}}' stays
    ps -a --format '{{.Names}} {{.Status}}'
    start stays
    start -a stays
    logs stays
    wait stays
    rm stays
  `),
  row("the image's words and the client's", `
    once full:1
    once full:1 a 'b c'
    once --entrypoint /bin/busybox full:1 echo x
    once --entrypoint /bin/sh full:1 -c 'id; pwd; env | sort'
    once --entrypoint '' full:1 /bin/echo y
    once --entrypoint '' full:1
    once -u root -w made/here --entrypoint /bin/sh full:1 -c 'id; pwd'
    once -w /made/here --entrypoint /bin/pwd full:1
  `),
  row("environment", `
    once -e A=b -e C bb env
    once -e HOME=/x -e PATH=/bin -e 'S=a b' bb env
    once -t bb env
    once -h myhost bb env
    once --entrypoint /bin/env -e FROM_IMAGE full:1
    once -u 4711 bb env
    once -e =x bb true
    once -e A=1 -e A=2 bb env
    once --env-file /nonexistent bb true
  `, { anyOrder: true }),
  row("users and groups", `
    once -u 1000:2000 bb id
    once -u www-data bb id
    once --group-add 55 --group-add daemon bb id
    once -u 0:5 bb id
    once --group-add nosuch bb id
    once --group-add extra --entrypoint /bin/id full:1
    once -u app:extra --entrypoint /bin/id full:1
    once -u 4294967296 bb id
    once -u -1 bb id
  `),
  row("names", `
    run --rm -h my.host.org bb sh -c 'hostname; cat /etc/hosts'
    run --rm --domainname dom.org -h myhost bb \
      sh -c 'cat /etc/hosts /proc/sys/kernel/domainname; hostname'
    run --rm --add-host db:10.0.0.5 --add-host six:::1 --add-host x:host-gateway \
      --dns 9.9.9.9 --dns-search a.org --dns-option ndots:3 bb \
      cat /etc/hosts /etc/resolv.conf
    run --rm --dns-search . bb cat /etc/resolv.conf
    run --rm --add-host nonsense bb true
    run --rm --add-host x:nonsense bb true
    run --rm --dns nonsense bb true
    once -h 'bad host' bb true
    once -h -bad bb hostname
  `),
  row("networks", `
    run --rm --network host bb sh -c 'hostname; cat /etc/hosts | grep -v "^[0-9f]"'
    run --rm --mac-address 02:42:ac:11:00:99 bb \
      sh -c 'cat /sys/class/net/eth0/address; ip -4 -o addr; ip route'
    run --rm --network none -p 80:80 bb true
    run --rm --network host -p 80:80 bb true
    run --rm --network host -h ex bb hostname
    run --rm --network container:nosuch bb true
    run --rm --network nosuch bb true
    run --rm --ip 172.17.0.9 bb true
    run --rm --mac-address nonsense bb true
    run --rm --network bridge --network-alias x bb true
  `),
  row("what every container has", `
    once bb sh -c 'ls -a /; ls /etc; cut -d" " -f2 /proc/mounts | sort; ls -l /proc/self/fd | wc -l'
  `),
  row("links", "run --rm --link nosuch:x bb true", {
    differs: { stderr: "links are not made any more" },
  }),
  row("loopback", "once bb ip addr", {
    differs: { stdout: "newer Dockers give loopback its IPv6 address" },
  }),
  row("another's network", `
    run -d --name first bb sleep 100
    run --rm --network container:first bb sh -c 'ip -4 -o addr; cat /etc/hosts; hostname'
    run --rm --network container:first -p 80:80 bb true
    run --rm --network container:first -h x bb true
    run --rm --network container:first --dns 1.1.1.1 bb true
    run --rm --network container:first --add-host a:1.1.1.1 bb true
    run --rm --network container:first --expose 1 bb true
    once --pid container:first bb sh -c 'ps | grep -c "[s]leep"'
    once --ipc container:first bb true
    stop -t 0 first
    run --rm --network container:first bb true
    once --pid container:first bb true
    once --ipc container:first bb true
  `),
  row("another's shared memory", `
    run -d --name first --ipc shareable --shm-size 2m bb \
      sh -c 'echo hello > /dev/shm/word; echo ready; sleep 100'
    says ready first
    once --ipc container:first bb sh -c 'cat /dev/shm/word; echo back > /dev/shm/back; \
      df -k /dev/shm; grep " /dev/shm " /proc/mounts'
    once --ipc container:first bb cat /dev/shm/back
    once --ipc container:first --tmpfs /dev/shm bb ls /dev/shm
    once --ipc shareable --tmpfs /dev/shm bb ls /dev/shm
    once --ipc shareable bb sh -c 'df -k /dev/shm; grep " /dev/shm " /proc/mounts'
    once --ipc shareable --read-only bb touch /dev/shm/x
    once bb ls /dev/shm
  `),
  row("read-only, shm and tmpfs", `
    once --read-only --tmpfs /tmp --tmpfs /t:size=1m,mode=700 --tmpfs /e:exec --shm-size 1m \
      --mount type=tmpfs,target=/m,tmpfs-size=2m,tmpfs-mode=0700 bb sh -c 'touch /x; \
      touch /dev/shm/x /tmp/x /m/x; df -k /t /dev/shm /m; stat -c %a /t /tmp /m; \
      cp /bin/busybox /e/echo; /e/echo ran; cp /bin/busybox /tmp/echo; /tmp/echo ran; \
      grep -E " /(t|e|m|tmp|dev/shm) " /proc/mounts | sort'
    once --shm-size 0 bb df -k /dev/shm
    once --tmpfs t bb true
    once --tmpfs /t:nonsense=1 bb true
    once --tmpfs / bb true
    once --shm-size=-1 bb true
  `),
  row("binds", `
    once -v @shared:/b -v @shared/made:/b/c/d bb \
      sh -c 'echo x > /b/f; cat /b/f; ls -ld /b/c/d | cut -c1-10'
    once -v @shared:/b:ro -v @shared/f:/f:ro \
      --mount type=bind,source=@shared,target=/m,readonly bb \
      sh -c 'touch /b/f /m/f; cat /f; echo y > /f'
    once -v relative:/x:nonsense bb true
    once -v ./rel:/x bb true
    once -v @shared:relative bb true
    once -v @shared:/b:ro,rw bb true
    once -v @shared:/b:z bb true
    once -v @shared:/ bb true
    once -v '' bb true
    once -v @shared:/b:nonsense bb true
    once --mount type=bind,source=/not/there,target=/b bb true
    once --mount type=bind,source=@shared bb true
    once --mount type=nonsense,target=/b bb true
    once -v @shared:/b -v @shared:/b bb true
    once -v @shared:/b --mount type=bind,source=@shared,target=/b bb true
  `),
  row("binds in impossible places", "once -v @shared:/etc/hosts/x bb true", {
    differs: { stderr: RUNTIME_WORDS },
  }),
  row("volumes from others", "once --volumes-from nosuch bb true", {
    differs: { stderr: "taking another's volumes is still to come" },
  }),
]
