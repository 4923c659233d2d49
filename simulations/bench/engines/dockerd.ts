import { has } from "../../images/command.ts"
import { commonArguments, type Engine } from "./engine.ts"

/** Docker's own daemon, as Debian packages it: the peer that every figure is put beside. */
export const dockerd: Engine = {
  name: "dockerd",
  argv: (place) => [
    "dockerd",
    ...commonArguments(place),
    "--storage-driver", "overlay2",
    ...(place.bridge ? [] : ["--bridge", "none", "--iptables=false"]),
  ],
  missing: async () => (await has("dockerd")) ? null : "dockerd is missing: apt-get install docker.io",
}
