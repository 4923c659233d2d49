import { type Row, row } from "../row.ts"

export const powers: readonly Row[] = [
  row("capabilities", `
    once bb grep Cap /proc/self/status
    once --cap-add NET_ADMIN --cap-drop CHOWN bb grep Cap /proc/self/status
    once --cap-drop ALL bb grep Cap /proc/self/status
    once --cap-drop all --cap-add net_bind_service bb grep Cap /proc/self/status
    once --cap-add ALL bb grep Cap /proc/self/status
    once --cap-add ALL --cap-drop SYS_ADMIN bb grep Cap /proc/self/status
    once --privileged bb grep -E 'Cap|Secc|NoNew' /proc/self/status
    once -u 1000 bb grep Cap /proc/self/status
    once --cap-add CAP_SYS_TIME bb grep Cap /proc/self/status
    once --cap-add NONSENSE bb true
    once --cap-drop NONSENSE bb true
    once -u 1000 --cap-add NET_ADMIN bb grep Cap /proc/self/status
  `),
  row("what is refused within", `
    once bb unshare -m true
    once bb mount -t tmpfs none /tmp
    once bb mknod /dev/x two 8 0
    once bb mknod /tmp/null three 1 3
    once bb dmesg
    once --cap-add SYS_ADMIN bb mount -t tmpfs none /tmp
    once bb sh -c 'echo 1 > /proc/sys/kernel/panic'
    once bb ls /sys/firmware
    once bb date -s 2020.01.01-00:00
    once bb chroot / true
    once --cap-drop SYS_CHROOT bb chroot / true
    once --cap-drop CHOWN bb chown 1 /tmp
    once bb sh -c 'cat /proc/kcore | head -c 1'
    once bb ip link set lo down
    once --cap-add NET_ADMIN bb ip link set lo down
    once bb hostname x
    once bb ping -c 1 -w 1 127.0.0.1 -q
  `),
  row("security options", `
    once --security-opt seccomp=unconfined bb grep -E 'Seccomp:|NoNew' /proc/self/status
    once --security-opt no-new-privileges bb grep -E 'Seccomp:|NoNew' /proc/self/status
    once bb grep -E 'Seccomp:|NoNew' /proc/self/status
    once --security-opt no-new-privileges:false bb grep NoNew /proc/self/status
    once --security-opt nonsense bb true
    once --security-opt nonsense=1 bb true
    once --security-opt seccomp=/not/there bb true
    once --security-opt seccomp=@shared/garbage bb true
    once --security-opt label=disable bb true
    once --security-opt apparmor=unconfined bb true
    once --security-opt systempaths=unconfined bb sh -c 'mount | grep -c "proc on /proc/"'
  `),
  row("devices", `
    once bb ls /dev
    once --device /dev/null:/dev/xnull bb sh -c 'ls -l /dev/xnull | cut -c1-10; echo > /dev/xnull'
    once --device /dev/null:/dev/xnull:r bb sh -c 'echo > /dev/xnull'
    once --device /dev/null:/dev/xnull:w bb sh -c 'head -c1 /dev/xnull'
    once --device /not/there bb true
    once --device /etc/passwd bb true
    once --device /dev/null:/dev/x:q bb true
    once --device-cgroup-rule 'c 1:3 rw' bb true
    once --device-cgroup-rule nonsense bb true
    once --device /dev/null:relative bb true
    once --privileged bb sh -c 'test -e /dev/vda && echo yes'
    once --gpus all bb true
  `),
  row("limits as the group has them", `
    once --memory 64m bb cat /sys/fs/cgroup/memory/memory.limit_in_bytes \
      /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes
    once --memory 64m --memory-swap 128m bb cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes
    once --memory 64m --memory-swap -1 bb cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes
    once --memory-reservation 32m bb cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes
    once --cpus 0.5 bb cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us \
      /sys/fs/cgroup/cpu/cpu.cfs_period_us
    once --cpu-shares 512 bb cat /sys/fs/cgroup/cpu/cpu.shares
    once --cpu-quota 20000 --cpu-period 50000 bb cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us \
      /sys/fs/cgroup/cpu/cpu.cfs_period_us
    once --cpuset-cpus 0 bb cat /sys/fs/cgroup/cpuset/cpuset.cpus
    once --pids-limit 20 bb cat /sys/fs/cgroup/pids/pids.max
    once --pids-limit -1 bb cat /sys/fs/cgroup/pids/pids.max
    once --oom-score-adj 500 bb cat /proc/self/oom_score_adj
    once --oom-kill-disable --memory 64m bb grep oom_kill_disable \
      /sys/fs/cgroup/memory/memory.oom_control
    once --memory-swappiness 7 --memory 64m bb cat /sys/fs/cgroup/memory/memory.swappiness
    once --blkio-weight 300 bb true
    once --cgroup-parent /be-diff bb sh -c 'grep memory /proc/self/cgroup | cut -c1-20'
  `),
  row("limits that cannot be", `
    once --memory 1m bb true
    once --memory nonsense bb true
    once --memory 64m --memory-swap 32m bb true
    once --memory-swap 64m bb true
    once --memory 64m --memory-reservation 128m bb true
    once --cpus 1000 bb true
    once --cpus -1 bb true
    once --cpus 0.001 bb true
    once --cpus nonsense bb true
    once --cpus 1 --cpu-quota 5000 bb true
    once --cpuset-cpus 99 bb true
    once --cpuset-cpus nonsense bb true
    once --cpuset-mems 9 bb true
    once --cpu-period 1 bb true
    once --cpu-quota 1 bb true
    once --pids-limit nonsense bb true
    once --oom-score-adj 5000 bb true
    once --blkio-weight 5 bb true
    once --memory-swappiness 101 bb true
    once --cpu-shares -1 bb true
    once --kernel-memory 1m bb true
    once --memory-reservation 1 bb true
    once --cpu-rt-runtime 5 bb true
    once --isolation hyperv bb true
    once --runtime nosuch bb true
    once --storage-opt size=1G bb true
    once --userns nonsense bb true
    once --uts nonsense bb true
    once --pid nonsense bb true
    once --ipc nonsense bb true
    once --cgroupns nonsense bb true
    once --oom-kill-disable bb true
  `),
  row("ulimits and sysctls", `
    once --ulimit nofile=100:200 bb sh -c 'ulimit -n; ulimit -Hn'
    once --ulimit core=0 bb sh -c 'ulimit -c'
    once --ulimit nonsense=1 bb true
    once --ulimit nofile=200:100 bb true
    once --ulimit nofile bb true
    once --sysctl net.ipv4.ip_forward=1 bb cat /proc/sys/net/ipv4/ip_forward
    once --sysctl kernel.msgmax=1000 bb cat /proc/sys/kernel/msgmax
    once --sysctl nonsense=1 bb true
    once --sysctl kernel.panic=1 bb true
    run --rm --network host --sysctl net.ipv4.ip_forward=1 bb true
    once --ipc host --sysctl kernel.msgmax=1000 bb true
    once --sysctl net.ipv4.nosuch=1 bb true
    once bb sh -c 'ulimit -n'
  `),
  row("shared namespaces", `
    once --pid host bb sh -c 'test $$ -gt 100 && echo far'
    once --ipc host bb df -k /dev/shm
    once --uts host bb hostname
    run --rm --uts host -h x bb true
    once --ipc private bb true
    once --ipc none bb ls /dev/shm
    once --ipc shareable bb true
    once --cgroupns host bb true
    once --cgroupns private bb sh -c 'grep memory /proc/self/cgroup'
    once --init bb ps -o pid,args
    once --init bb sh -c 'kill -TERM 1; sleep 1'
    once --userns host bb true
  `),
  row("restart policies asked for", `
    once --restart always bb
    create --name one --restart nonsense bb
    create --name one --restart on-failure:-1 bb
    create --name one --restart on-failure:x bb
    create --name one --restart always:3 bb
    create --name one --restart no:3 bb
    create --name one --restart unless-stopped bb
    inspect -f '{{json .HostConfig.RestartPolicy}}' one
    update --restart on-failure:4 one
    inspect -f '{{json .HostConfig.RestartPolicy}}' one
    update --restart nonsense one
    update --restart no one
    inspect -f '{{json .HostConfig.RestartPolicy}}' one
  `),
  row("log drivers", `
    once --log-driver none bb echo x
    once --log-driver json-file --log-opt max-size=1m --log-opt max-file=2 bb echo x
    once --log-driver nosuch bb true
    once --log-opt max-size=nonsense bb true
    once --log-opt nonsense=1 bb true
    once --log-driver local bb echo x
    once --log-driver none --log-opt max-size=1m bb true
    once --log-driver json-file --log-opt max-file=0 bb true
    once --log-driver json-file --log-opt max-file=2 bb true
    once --log-opt mode=nonsense bb true
    once --log-opt mode=non-blocking --log-opt max-buffer-size=1m bb echo x
    once --log-driver syslog bb true
  `),
  row("bad flags", `
    run --nosuch bb
    run
    run --name 'bad name' bb true
    run --name x- bb true
    run --name ex bb true
    once -d --rm bb true
    run --stop-signal NONSENSE bb true
    run --stop-timeout nonsense bb
    run --label =x bb true
    run --rm -p nonsense bb
    run --rm -p 99999:80 bb
    run --rm -p 80:80/nonsense bb
    run --rm -p 1.2.3:80:80 bb
    run --rm --expose nonsense bb
    run nosuch
    run 'Bad Image'
    run --pull never nosuch
  `),
]
