import { type Row, row } from "../row.ts"

export const runs: readonly Row[] = [
  row("streams and exit codes", `
    once bb echo hi
    once bb sh -c 'echo out; echo err >&2; exit 3'
    once bb sh -c 'kill -9 $$'
    once bb sh -c 'kill -TERM $$'
    once bb false
    once bb sh -c 'exit 255'
    once -a stdout bb sh -c 'echo out; echo err >&2'
    once -a stderr bb sh -c 'echo out; echo err >&2'
    once -i bb cat
  `),
  row("commands that cannot be run", `
    once bb nosuch
    once bb /etc
    once bb /nosuch
    once bb /etc/passwd
    once full:1 x
    once --entrypoint /app/broken full:1
    once --entrypoint /app/data full:1
    once none:1
    once --entrypoint '' none:1
    once -w /etc/passwd bb true
    once -u nobodyatall bb true
    once -u 1:nogroup bb true
    once -u : bb true
  `),
  row("a container that did not start stays", `
    run --name stays bb nosuch
    inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}} {{.State.StartedAt}} \
      {{.State.FinishedAt}}' stays
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
    once --entrypoint /bin/busybox full:1
    once --entrypoint /bin/id full:1
    once --entrypoint /bin/pwd full:1
    once --entrypoint '' full:1 /bin/echo y
    once --entrypoint '' full:1
    once -u root --entrypoint /bin/id full:1
    once -w /tmp --entrypoint /bin/pwd full:1
    once -w made/here --entrypoint /bin/pwd full:1
    once -w /made/here --entrypoint /bin/pwd full:1
  `),
  row("environment", `
    once bb env
    once -e A=b -e C bb env
    once -e HOME=/x -e PATH=/bin -e 'S=a b' bb env
    once -t bb env
    run --rm -h myhost bb env
    once --entrypoint /bin/env full:1
    once --entrypoint /bin/env -e FROM_IMAGE full:1
    once -u 1000 --entrypoint /bin/env full:1
    once -e =x bb true
    once -e A=1 -e A=2 bb env
    once --env-file /nonexistent bb true
    once -u 4711 bb env
  `, { anyOrder: true }),
  row("users and groups", `
    once -u 1000 bb id
    once -u 1000:2000 bb id
    once -u www-data bb id
    once -u nobody:nogroup bb id
    once --group-add 55 --group-add daemon bb id
    once -u 0:5 bb id
    once --group-add nosuch bb id
    once --entrypoint /bin/id full:1
    once --group-add extra --entrypoint /bin/id full:1
    once -u app:extra --entrypoint /bin/id full:1
    once -u 4294967296 bb id
    once -u -1 bb id
  `),
  row("names", `
    run --rm -h myhost bb hostname
    run --rm -h my.host.org bb hostname
    run --rm -h myhost bb cat /etc/hosts
    run --rm --domainname dom.org -h myhost bb cat /etc/hosts
    run --rm --add-host db:10.0.0.5 --add-host six:::1 bb cat /etc/hosts
    run --rm --add-host nonsense bb true
    run --rm --add-host x:host-gateway bb cat /etc/hosts
    run --rm --add-host x:nonsense bb true
    run --rm --dns 9.9.9.9 --dns-search a.org --dns-option ndots:3 bb cat /etc/resolv.conf
    run --rm --dns nonsense bb true
    run --rm --dns-search . bb cat /etc/resolv.conf
    run --rm -h 'bad host' bb true
    run --rm -h -bad bb hostname
    run --rm --domainname dom.org bb cat /proc/sys/kernel/domainname
  `),
  row("networks", `
    run --rm --network none bb ip addr
    run --rm --network host bb sh -c 'ip -o link | wc -l'
    run --rm --network host bb hostname
    run --rm bb ip -4 -o addr
    run --rm bb ip route
    run --rm --network nosuch bb true
    run --rm --network container:nosuch bb true
    run --rm --network none -p 80:80 bb true
    run --rm --network host -p 80:80 bb true
    run --rm --network host -h x bb hostname
    run --rm --ip 172.17.0.9 bb true
    run --rm --mac-address 02:42:ac:11:00:99 bb cat /sys/class/net/eth0/address
    run --rm --mac-address nonsense bb true
    run --rm --network bridge --network-alias x bb true
    run --rm --link nosuch:x bb true
    run --rm --network default bb ip route
  `),
  row("another's network", `
    run -d --name first bb sleep 100
    run --rm --network container:first bb ip -4 -o addr
    run --rm --network container:first bb cat /etc/hosts
    run --rm --network container:first -p 80:80 bb true
    run --rm --network container:first -h x bb true
    run --rm --network container:first --dns 1.1.1.1 bb true
    run --rm --network container:first --add-host a:1.1.1.1 bb true
    run --rm --network container:first --expose 1 bb true
    once --pid container:first bb ps
    once --ipc container:first bb true
    stop -t 0 first
    run --rm --network container:first bb true
    once --pid container:first bb true
  `),
  row("standard input", `
    run -d -i --name reader bb cat
    attach --no-stdin --sig-proxy=false nosuch
    kill reader
  `),
  row("read-only, shm and tmpfs", `
    once --read-only bb touch /x
    once --read-only bb touch /dev/shm/x
    once --read-only --tmpfs /tmp bb touch /tmp/x
    once --tmpfs /t:size=1m,mode=700 bb sh -c 'df -k /t; stat -c %a /t; grep " /t " /proc/mounts'
    once --tmpfs /t bb sh -c 'grep " /t " /proc/mounts; stat -c %a /t'
    once --tmpfs t bb true
    once --tmpfs /t:nonsense=1 bb true
    once --tmpfs / bb true
    once --shm-size 1m bb df -k /dev/shm
    once --shm-size 0 bb df -k /dev/shm
    once --shm-size=-1 bb true
    once --mount type=tmpfs,target=/t,tmpfs-size=2m bb df -k /t
    once --mount type=tmpfs,target=/t,tmpfs-mode=0700 bb stat -c %a /t
    once --tmpfs /t:exec bb sh -c 'cp /bin/busybox /t/echo; /t/echo ran'
    once --tmpfs /t bb sh -c 'cp /bin/busybox /t/echo; /t/echo ran'
  `),
  row("binds", `
    once -v @shared:/b bb sh -c 'echo x > /b/f; cat /b/f'
    once -v @shared:/b:ro bb touch /b/f
    once -v @shared/made:/b bb ls -ld /b/.
    once -v @shared/f:/b/f:ro bb cat /b/f
    once -v relative:/x:nonsense bb true
    once -v ./rel:/x bb true
    once -v @shared:relative bb true
    once -v @shared:/b:ro,rw bb true
    once -v @shared:/b:z bb true
    once -v @shared:/ bb true
    once -v /x bb true
    once -v '' bb true
    once -v @shared:/b:rslave bb true
    once -v @shared:/b:nonsense bb true
    once --mount type=bind,source=@shared,target=/b,readonly bb touch /b/x
    once --mount type=bind,source=/not/there,target=/b bb true
    once --mount type=bind,source=@shared bb true
    once --mount type=bind,source=@shared,target=/b,bind-propagation=rshared bb true
    once --mount type=nonsense,target=/b bb true
    once -v @shared:/b -v @shared:/b bb true
    once -v @shared:/b --mount type=bind,source=@shared,target=/b bb true
    once -v @shared:/etc/hosts/x bb true
    once -v @shared:/b/c/d bb ls -d /b/c/d
    once -v /etc/hostname:/etc/hostname:ro bb true
    once --volumes-from nosuch bb true
  `),
]
