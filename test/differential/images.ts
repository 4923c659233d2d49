import { mkdir, mkdtemp, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { writeArchive } from "../../simulations/images/archive.ts"
import { busyboxImage } from "../../simulations/images/busybox.ts"
import { assemble, type BuiltLayer, type Defaults } from "../../simulations/images/image.ts"
import { compress, tarOf } from "../../simulations/images/layer.ts"
import { BUSYBOX_ARCHIVE } from "../e2e/engine.ts"

/** What each image says of itself; all stand on busybox and a small layer of their own. */
const SAID: Readonly<Record<string, Defaults>> = {
  /** Says all that an image can say, but for volumes and health. */
  "full:1": {
    Entrypoint: ["/app/entry", "first"],
    Cmd: ["second", "third word"],
    Env: ["PATH=/app:/usr/bin:/bin", "FROM_IMAGE=yes", "SPACED=a b"],
    Labels: { "org.example.name": "full", empty: "" },
    User: "app",
    WorkingDir: "/app/work",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    StopSignal: "SIGUSR1",
  },
  "volumes:1": { Cmd: ["sh"], Volumes: { "/seeded": {}, "/fresh": {} } },
  "none:1": {},
}

const layerOf = async (directory: string): Promise<BuiltLayer> => {
  const tree = await mkdtemp(join(directory, "tree-"))
  for (const path of ["app", "etc", "seeded"]) await mkdir(join(tree, path))
  await writeFile(join(tree, "app/entry"), '#!/bin/sh\necho "$@"\n', { mode: 0o755 })
  await writeFile(join(tree, "app/data"), "not a program\n", { mode: 0o644 })
  await writeFile(join(tree, "app/broken"), "#!/not/there\n", { mode: 0o755 })
  await writeFile(join(tree, "app/odd"), "neither a script nor a program\n", { mode: 0o755 })
  await writeFile(join(tree, "seeded/file"), "from the image\n")
  const users = ["root:x:0:0::/root:/bin/sh", "app:x:1000:1000::/app:/bin/sh", ""]
  await writeFile(join(tree, "etc/passwd"), users.join("\n"))
  await writeFile(join(tree, "etc/group"), "root:x:0:\napp:x:1000:\nextra:x:2000:app\n")
  return compress(tarOf(tree, true), directory)
}

/** Writes the images that rows use into a directory; answers the archives to be loaded. */
export const writeImages = async (directory: string): Promise<readonly string[]> => {
  const path = join(directory, "images.tar")
  const base = await busyboxImage()
  const layers = [...base.layers, await layerOf(directory)]
  await writeArchive(
    path,
    Object.entries(SAID).map(([tag, said]) => ({ image: assemble(layers, said), tags: [tag] })),
  )
  return [BUSYBOX_ARCHIVE, path]
}
