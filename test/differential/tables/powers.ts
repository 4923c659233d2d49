import { CAPABILITIES, RUNTIME_WORDS } from "../known.ts"
import { PARENT_GROUP, type Row, row } from "../row.ts"

/** What is given to or taken from a container's process. */
export const powers: readonly Row[] = [
  row("capabilities", `
    once --cap-add NET_ADMIN --cap-drop CHOWN bb grep Cap /proc/self/status
    once --cap-drop all --cap-add net_bind_service --cap-add CAP_SYS_TIME bb \
      grep Cap /proc/self/status
    once -u 1000 --cap-add NET_ADMIN bb grep Cap /proc/self/status
    once --cap-add NONSENSE bb true
    once --cap-drop NONSENSE bb true
  `),
  row("all capabilities", `
    once --cap-add ALL --cap-drop SYS_ADMIN bb grep Cap /proc/self/status
    once --privileged bb grep -E 'Cap|Secc|NoNew' /proc/self/status
  `, { may: { code: CAPABILITIES, stdout: CAPABILITIES, stderr: CAPABILITIES } }),
  row("what is refused within", `
    once bb sh -c 'unshare -m true; mount -t tmpfs none /tmp; mknod /dev/x b 8 0; \
      mknod /tmp/n c 1 3; dmesg; echo 1 > /proc/sys/kernel/panic; ls /sys/firmware; \
      date -s 2020.01.01-00:00; \
      chroot / true; head -c 1 /proc/kcore; ip link set lo down; hostname x; \
      ping -c 1 -w 1 127.0.0.1 -q > /dev/null; echo $?; ulimit -n; cat /proc/self/oom_score_adj'
    once --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-drop SYS_CHROOT --cap-drop CHOWN bb \
      sh -c 'mount -t tmpfs none /tmp; ip link set lo down; chroot / true; chown 1 /tmp'
  `),
  row("devices there are", "once bb ls /dev", {
    differs: { stdout: "crun makes /dev/core whether or not there is a /proc/kcore" },
  }),
  row("security options", `
    once --security-opt seccomp=unconfined bb grep -E 'Seccomp:|NoNew' /proc/self/status
    once --security-opt no-new-privileges bb grep -E 'Seccomp:|NoNew' /proc/self/status
    once --security-opt no-new-privileges:false --security-opt label=disable \
      --security-opt apparmor=unconfined --security-opt systempaths=unconfined bb \
      sh -c 'mount | grep -c "proc on /proc/"; grep NoNew /proc/self/status'
    once --security-opt nonsense bb true
    once --security-opt nonsense=1 bb true
    once --security-opt seccomp=/not/there bb true
    once --security-opt seccomp=@shared/garbage bb true
  `),
  row("devices", `
    once --device /dev/null:/dev/n --device /dev/null:/dev/ro:r --device /dev/zero:/dev/wo:w bb \
      sh -c 'ls -l /dev/n | cut -c1-10; echo > /dev/n; echo > /dev/ro; head -c1 /dev/wo'
    once --device-cgroup-rule 'c 1:3 rw' bb true
    once --device /not/there bb true
    once --device /etc/passwd bb true
    once --device /dev/null:/dev/x:q bb true
    once --device-cgroup-rule nonsense bb true
    once --device /dev/null:relative bb true
    once --gpus all bb true
  `),
  row("limits as the group has them", `
    once --memory 64m --memory-reservation 32m --memory-swappiness 7 --oom-kill-disable --cpus 0.5 \
      --cpu-shares 512 --cpuset-cpus 0 --pids-limit 20 --oom-score-adj 500 bb sh -c \
      'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes \
      memory/memory.soft_limit_in_bytes memory/memory.swappiness memory/memory.oom_control \
      cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus pids/pids.max \
      memory.max cpu.max cpu.weight pids.max cpuset.cpus memory.swap.max; \
      cat /proc/self/oom_score_adj'
    once --memory 64m --memory-swap 128m --cpu-quota 20000 --cpu-period 50000 --pids-limit -1 bb \
      sh -c 'cd /sys/fs/cgroup; cat memory/memory.memsw.limit_in_bytes cpu/cpu.cfs_quota_us \
      cpu/cpu.cfs_period_us pids/pids.max memory.swap.max cpu.max pids.max'
    once --memory 64m --memory-swap -1 bb \
      sh -c 'cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory.swap.max'
    once --blkio-weight 300 --cgroup-parent ${PARENT_GROUP} bb \
      sh -c 'grep memory /proc/self/cgroup | cut -c1-18'
  `),
  row("limits that cannot be", `
    once --memory 1m bb true
    once --memory nonsense bb true
    once --memory 64m --memory-swap 32m bb true
    once --memory-swap 64m bb true
    once --memory 64m --memory-reservation 128m bb true
    once --cpus 1000 bb true
    once --cpus -1 bb true
    once --cpus nonsense bb true
    once --cpus 1 --cpu-quota 5000 bb true
    once --cpuset-cpus 99 bb true
    once --cpuset-cpus nonsense bb true
    once --cpuset-mems 9 bb true
    once --cpu-period 1 bb true
    once --cpu-quota 1 bb true
    once --pids-limit nonsense bb true
    once --oom-score-adj 5000 bb true
    once --memory-swappiness 101 bb true
    once --memory-reservation 1 bb true
    once --isolation hyperv bb true
    once --runtime nosuch bb true
    once --userns nonsense bb true
    once --uts nonsense bb true
    once --pid nonsense bb true
    once --ipc nonsense bb true
    once --cgroupns nonsense bb true
    once --oom-kill-disable bb true
  `),
  row("limits the kernel refuses", `
    once --cpus 0.001 bb true
    once --cpu-rt-runtime 5 bb true
    once --cpu-shares -1 bb true
    once --storage-opt size=1G bb true
  `, { differs: { stderr: RUNTIME_WORDS } }),
  row("ulimits and sysctls", `
    once --ulimit nofile=100:200 --ulimit core=0 --sysctl net.ipv4.ip_forward=1 \
      --sysctl kernel.msgmax=1000 bb sh -c 'ulimit -n; ulimit -Hn; ulimit -c; \
      cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax'
    once --ulimit nonsense=1 bb true
    once --ulimit nofile=200:100 bb true
    once --ulimit nofile bb true
    once --sysctl nonsense=1 bb true
    once --sysctl kernel.panic=1 bb true
  `),
  row("sysctls the kernel refuses", `
    once --network host --sysctl net.ipv4.ip_forward=1 bb true
    once --ipc host --sysctl kernel.msgmax=1000 bb true
    once --sysctl net.ipv4.nosuch=1 bb true
  `, { differs: { stderr: RUNTIME_WORDS } }),
  row("shared namespaces", `
    once --pid host --ipc host --uts host --userns host --cgroupns host bb \
      sh -c 'test $$ -gt 20 && echo far; df -k /dev/shm | cut -c1-20; hostname'
    once --ipc none --cgroupns private bb \
      sh -c 'ls /dev/shm; grep -E "memory|::" /proc/self/cgroup'
    once --ipc shareable bb true
    once --init bb sh -c 'ps -o pid,args | head -2; kill -TERM 1; sleep 1'
    once --uts host -h x bb true
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
    once --log-driver local --log-opt max-size=1m --log-opt max-file=2 bb echo x
    once --log-opt mode=non-blocking --log-opt max-buffer-size=1m bb echo x
    once --log-opt max-size=nonsense bb true
    once --log-opt nonsense=1 bb true
    once --log-driver json-file --log-opt max-file=0 bb true
    once --log-opt mode=nonsense bb true
  `),
  row("bad flags", `
    run --nosuch bb
    run
    run --name 'bad name' bb true
    once --name x- bb true
    run --name x bb true
    run --stop-signal NONSENSE bb true
    run --stop-timeout nonsense bb
    run --label =x bb true
    run 'Bad Image'
    run --pull never nosuch
  `),
]
