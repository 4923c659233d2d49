import { type Row, row, rowOf } from "../row.ts"

const B = "busybox:1.29"
const SEEN = [
  `run -d --name up --label kind=a --label x ${B} sleep 100`,
  `run -d --name named-web --label kind=b -p 8080:80 --expose 99 ${B} sleep 100`,
  `run --name done-3 ${B} sh -c 'exit 3'`,
  `run --name done-0 -v @shared:/b ${B} true`,
  "create --name fresh --network none full:1",
]
const ALL = [
  "run -d --name all -h host --domainname dom -u 5:6 -w /tmp -e A=b -l a=b --entrypoint sh",
  "--add-host x:1.2.3.4 --cap-add NET_ADMIN --cap-drop CHOWN --cpu-shares 7 --cpus 0.5",
  "--device /dev/null:/dev/n --dns 1.1.1.1 --dns-option ndots:1 --dns-search a.b --expose 70",
  "--group-add 3 --health-cmd true --health-interval 5s --init --ipc shareable --log-opt max-size=1m",
  "--memory 32m --memory-reservation 16m --memory-swap 64m --oom-score-adj 7 --pids-limit 50",
  "-p 8080:80 -p 127.0.0.1:8081:81/udp --read-only --restart on-failure:3 --security-opt no-new-privileges",
  "--shm-size 1m --stop-signal INT --stop-timeout 3 --sysctl net.ipv4.ip_forward=1 --tmpfs /t:size=1m",
  "--ulimit nofile=10:20 -v @shared:/b:ro --mount type=bind,source=@shared,target=/c -i -t",
  "--cpuset-cpus 0 --uts host --pid host --device-cgroup-rule 'c 1:3 r' --annotation a=b --cgroup-parent /be-diff",
  `${B} -c 'sleep 100'`,
].join(" ")

/** What is only looked at: lists, inspect, top, stats. */
export const looks: readonly Row[] = [
  row("ps", ...SEEN, "ps", "ps -a", "ps -q", "ps -aq", "ps -n 2", "ps -l", "ps -a --no-trunc", "ps -as", "ps -a --format '{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Status}}|{{.Ports}}|{{.Labels}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.RunningFor}}|{{.Size}}'", "ps -a --format 'table {{.Names}} {{.Label \"kind\"}}'", "ps -n 0 -q", "ps -n -1 -q", "ps -n nonsense", "ps --format '{{.Nothing}}'"),
  row("ps by filter", ...SEEN, ...[
    "status=running", "status=exited", "status=created", "status=nonsense", "name=done", "name=^/done-3$", "name=^done-3$", "name=DONE", "name='['", "label=kind", "label=kind=a", "label=kind=c", "label!=x", "ancestor=busybox", `ancestor=${B}`, "ancestor=full:1", "ancestor=edea4b26e86c", "ancestor=nosuch", "exited=3", "exited=0", "exited=nonsense", "publish=8080", "publish=80", "publish=8080/udp", "publish=8000-8100", "expose=80", "expose=99/tcp", "expose=nonsense", "volume=/b", "volume=@shared", "volume=/nothing", "network=bridge", "network=none", "network=nothing", "before=fresh", "since=up", "since=nosuch", "before=nosuch", "health=none", "health=healthy", "health=nonsense", "id=nonsense", "is-task=true", "is-task=maybe", "bogus=1", "isolation=default",
  ].map((filter) => `ps -a --filter ${filter} --format '{{.Names}}'`), "ps --filter name=up --filter status=exited --format '{{.Names}}'", "ps -a --filter name=up --filter name=fresh --format '{{.Names}}'", "ps --filter exited=3 --format '{{.Names}}'", "ps --filter status=created --format '{{.Names}}'"),
  rowOf("ps as JSON", { view: "json" }, ...SEEN, "ps -a --format json"),
  rowOf("the list over the socket", { view: "json" }, ...SEEN, { ask: "GET /containers/json?all=1" }, { ask: "GET /containers/json?limit=1" }, { ask: "GET /containers/json?size=1" }, { ask: "GET /containers/json?limit=nonsense" }, { ask: "GET /containers/json?filters={}" }, { ask: "GET /containers/json?filters={" }, { ask: "GET /v1.24/containers/json?all=1" }, { ask: "GET /containers/json?all=nonsense" }, { ask: "GET /containers/json?filters={\"name\":{\"up\":true}}" }),
  rowOf("inspect, created", { view: "json" }, `create --name plain ${B}`, "inspect plain", "create --name filled full:1", "inspect filled", "create --name vols volumes:1", "inspect -s plain"),
  rowOf("inspect, running", { view: "json", mask: [/"Pid":\d+/g] }, `run -d --name plain ${B} sleep 100`, "inspect plain", "stop -t 0 plain", "inspect plain"),
  rowOf("inspect, every option", { view: "json" }, ALL, "inspect all"),
  rowOf("inspect, other networks", { view: "json" }, `run -d --name n --network none ${B} sleep 100`, "inspect n", `run -d --name h --network host ${B} sleep 100`, "inspect h", `run -d --name c --network container:n ${B} sleep 100`, "inspect c"),
  row("inspect wrongly", "inspect nosuch", "inspect --type container nosuch", "inspect --type nonsense x", "inspect", `create --name a ${B}`, "inspect -f '{{.Nope}}' a", "inspect -f '{{' a", "inspect a nosuch -f '{{.Name}}'", "inspect --type image a", "inspect -f '{{.Name}}' a busybox:1.29"),
  rowOf("top", { mask: [/\b\d{2,}\b/g, /\d\d:\d\d(:\d\d)?/g, /<masked>:<masked>/g] }, `run -d --name a ${B} sleep 100`, "top a -o comm,args", "top a -eo comm", "top a", "top a aux", "top a -o nonsense", "top nosuch", "stop -t 0 a", "top a"),
  rowOf("stats", { view: "shape" }, `run -d --name a ${B} sleep 100`, { ask: "GET /containers/a/stats?stream=0" }, { ask: "GET /containers/a/stats?stream=0&one-shot=1" }, { ask: "GET /containers/nosuch/stats?stream=0" }, "kill a", { ask: "GET /containers/a/stats?stream=0" }),
  rowOf("stats by the CLI", { mask: [/[\d.]+%/g, /[\d.]+[kMG]?i?B/g] }, `run -d --name a --memory 64m ${B} sleep 100`, "stats --no-stream a", "stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}}' a", "stats --no-stream nosuch", "stats --no-stream -a"),
  row("changes", `run --name a ${B} sh -c 'echo x > /new; rm /etc/passwd; echo y >> /etc/group; mkdir -p /d/e; touch /d/e/f; chmod 700 /root; rm -r /var; mkdir /var; ln -s x /link'`, "diff a", "diff nosuch", `create --name b ${B}`, "diff b"),
]

/** What a container has said. */
export const logs: readonly Row[] = [
  row("logs", `run --name a ${B} sh -c 'echo one; echo two >&2; echo three; printf unended'`, "logs a", "logs --tail 1 a", "logs --tail 0 a", "logs --tail all a", "logs --tail nonsense a", "logs --tail -1 a", "logs -t a", "logs --details a", "logs -f a", "logs --since 1h a", "logs --since @began a", "logs --until @began a", "logs --since 2099-01-01 a", "logs --since nonsense a", "logs nosuch", "logs --until 1h a", "logs -n 2 -t --details a"),
  row("logs of more starts", `create --name a ${B} sh -c 'echo run; exit 1'`, "start -a a", "start -a a", "logs a"),
  row("logs of a terminal", `run -t --name a ${B} sh -c 'echo one; echo two >&2'`, "logs a", "logs -t a", "logs --tail 1 a"),
  row("logs followed", `run -d --name a ${B} sh -c 'for i in 1 2 3 4 5; do echo $i; sleep 0.2; done'`, "logs -f a", "logs -f --tail 2 a"),
  row("logs of long lines", `run --name a ${B} sh -c 'head -c 40000 /dev/zero | tr \"\\\\0\" x; echo; echo end'`, "logs a", "logs --tail 1 a"),
  row("logs with labels and variables", `run --name a --label l=1 -e E=2 --log-opt labels=l --log-opt env=E ${B} echo hi`, "logs --details a", "logs --details -t a"),
  row("no logs", `run --name a --log-driver none ${B} echo hi`, "logs a", `create --name b ${B}`, "logs b", "logs -f b"),
  row("logs over the socket", `run --name a ${B} sh -c 'echo one; echo two >&2'`, { ask: "GET /containers/a/logs?stdout=1" }, { ask: "GET /containers/a/logs?stderr=1" }, { ask: "GET /containers/a/logs" }, { ask: "GET /containers/a/logs?stdout=1&tail=x" }, { ask: "GET /containers/a/logs?stdout=1&since=x" }, { ask: "GET /containers/nosuch/logs?stdout=1" }, { ask: "GET /containers/a/logs?stdout=1&stderr=1&timestamps=nonsense&follow=0" }),
]

/** Standing at a container's terminal. */
export const terminals: readonly Row[] = [
  row("a terminal", { typed: `run -it --rm ${B} sh`, cue: "/ # ", keys: "stty size; exit 3\n" }, { typed: `run -it --rm ${B} sh`, cue: "/ # ", keys: "tty; echo $TERM; exit\n" }, `run -t --rm ${B} tty`, `run -it --rm ${B} tty`, `run --rm ${B} tty`, { typed: `run -it --name a ${B} sh`, cue: "/ # ", keys: "\x10\x11" }, "ps --format '{{.Names}}'", { typed: "attach --detach-keys ctrl-x a", cue: "", keys: "\n\x18" }, { typed: "attach a", cue: "", keys: "exit 4\n" }, "attach a", "attach nosuch", "attach --detach-keys nonsense a", "wait a"),
]
