import type { Terms } from "../../oci/terms.ts"

/** Does an option of the log driver choose this name: by a list of names, or by a pattern? */
function chosen(name: string, list: string | undefined, pattern: string | undefined): boolean {
  if (list?.split(",").includes(name) === true) return true
  try {
    return pattern !== undefined && pattern !== "" && new RegExp(pattern).test(name)
  } catch {
    return false // no pattern, so it fits nothing
  }
}

/**
 * What `docker logs --details` says in front of each line: the labels and variables that the log
 * driver's options ask for. They were agreed at creation, so no line has to carry them.
 */
export function detailsOf({ labels, env, log: { options } }: Terms): string {
  const variables = env.map((entry) => {
    const [name = "", value = ""] = entry.split(/=(.*)/s)
    return [name, value] as const
  })
  const all = [
    ...Object.entries(labels)
      .filter(([name]) => chosen(name, options["labels"], options["labels-regex"])),
    ...variables.filter(([name]) => chosen(name, options["env"], options["env-regex"])),
  ]
  const escaped = (text: string) => encodeURIComponent(text).replaceAll("%20", "+")
  return all.toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${escaped(name)}=${escaped(value)}`)
    .join(",")
}
