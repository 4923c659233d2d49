import { createHash } from "node:crypto"
import { join } from "node:path"
import { LayerTar } from "../../src/layers/rebuild.ts"
import { listing } from "../checkers/tree.ts"
import { run } from "../images/command.ts"
import type { LayerPlace } from "./audit.ts"

/** One layer as it lies on the disk, read to its last byte. */
export interface LayerFound {
  /** What the tar hashes to that is rebuilt of it. */
  readonly tarDigest: string
  /** Name, attributes and place of all that was extracted: what the tar does not prove. */
  readonly tree: Readonly<Record<string, string>>
}

/** Layers by address, as a pull leaves them that nothing disturbed. */
export type Reference = ReadonlyMap<string, LayerFound>

/** Reads layers, in a process of its own: it keeps one core busy. Throws what is damaged. */
const readLayers = async (places: readonly LayerPlace[]): Promise<Reference> => {
  const directories = places.map(({ directory }) => directory)
  const said = await run(process.execPath, ["--expose-gc", import.meta.filename, ...directories])
  const found = JSON.parse(said) as readonly LayerFound[]
  return new Map(places.map(({ address }, index) => [address, found[index]!]))
}

/** What an undisturbed run left, to hold others to. Throws where a tar is not what it should be. */
export const readReference = async (places: readonly LayerPlace[]): Promise<Reference> => {
  const found = await readLayers(places)
  const wrong = places.flatMap((place) => wrongTar(place, found.get(place.address)!))
  if (wrong.length > 0) throw new Error(`undisturbed, and yet ${wrong.join("; ")}`)
  return found
}

/** Says how layers differ from what they should be: by their tar's digest, and by the reference. */
export const unlike = async (
  reference: Reference,
  places: readonly LayerPlace[],
): Promise<readonly string[]> => {
  const found = await readLayers(places)
  return places.flatMap((place) => {
    const layer = found.get(place.address)!
    const expected = reference.get(place.address)
    return [
      ...wrongTar(place, layer),
      ...(expected === undefined ? [`${place.address} is unknown`] : otherTree(layer, expected)),
    ]
  })
}

const wrongTar = ({ address, diffId }: LayerPlace, { tarDigest }: LayerFound): string[] =>
  tarDigest === diffId ? [] : [`the tar of ${address} is ${tarDigest}`]

/** The first entry that differs tells enough. */
const otherTree = (layer: LayerFound, expected: LayerFound): string[] => {
  const paths = new Set([...Object.keys(layer.tree), ...Object.keys(expected.tree)])
  for (const path of paths) {
    const [now, then] = [layer.tree[path], expected.tree[path]]
    if (now !== then) return [`${path} is "${now ?? "missing"}", not "${then ?? "missing"}"`]
  }
  return []
}

const readLayer = (directory: string): LayerFound => {
  const hash = createHash("sha256")
  const tar = LayerTar.open(directory)
  for (const chunk of tar.chunks()) hash.update(chunk)
  tar.close()
  const tree = ["diff", "shadow"].flatMap((folder) =>
    Object.entries(listing(join(directory, folder), { contents: false }))
      .map(([path, what]) => [`${folder}/${path}`, what] as const))
  return { tarDigest: `sha256:${hash.digest("hex")}`, tree: Object.fromEntries(tree) }
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(process.argv.slice(2).map(readLayer)))
}
