/**
 * What nothing leads to: the things of `all` that are no root and cannot be reached from one along
 * `edges` (from → to). Pure arithmetic; deleting is somebody else's command.
 */
export function unreachable(
  all: Iterable<string>,
  roots: Iterable<string>,
  edges: Iterable<readonly [from: string, to: string]>,
): Set<string> {
  const next = new Map<string, string[]>()
  for (const [from, to] of edges) {
    const known = next.get(from)
    if (known === undefined) next.set(from, [to])
    else known.push(to)
  }
  const left = new Set(all)
  const queue = [...roots]
  const seen = new Set(queue)
  for (let one = queue.pop(); one !== undefined; one = queue.pop()) {
    left.delete(one)
    for (const to of next.get(one) ?? []) {
      if (seen.has(to)) continue
      seen.add(to)
      queue.push(to)
    }
  }
  return left
}
