/**
 * Identifiability. Strengths exist and are unique (up to a shift) exactly when every competitor can be reached from
 * every other along "lost to" (Ford 1957): one strongly connected component. Otherwise each component is ranked by
 * itself, and between components only the order that the losses show is known.
 */
import type { TieRule } from "./counts.ts"
import type { Results, Votes } from "./results.ts"

export interface Connectivity {
  /** Strong component of each competitor, −1 for one without any comparison. Components are numbered best first: no edge leads from a later one up to … an earlier one wins. */
  readonly component: Int32Array
  /** Members of each strong component, ascending. */
  readonly components: readonly (readonly number[])[]
  /** Weak component (0, 1, …) of each strong component. Different weak components were never compared, directly or not. */
  readonly weak: Int32Array
  readonly weakCount: number
  /** Competitors without a comparison. */
  readonly unranked: readonly number[]
}

/** Successor lists in compressed form: the targets of node v are target[start[v]] … target[start[v+1]−1]. */
interface Graph {
  readonly nodes: number
  readonly start: Float64Array
  readonly target: Int32Array
}

/** Connectivity from the M × M matrix of effective wins. O(M²). */
export function connectivityOfWins(wins: Float64Array, competitors: number): Connectivity {
  const start = new Float64Array(competitors + 1)
  let edges = 0
  const compared = new Uint8Array(competitors)
  for (let loser = 0; loser < competitors; loser++) {
    for (let winner = 0; winner < competitors; winner++) {
      if (winner !== loser && wins[winner * competitors + loser]! > 0) {
        edges++
        compared[winner] = compared[loser] = 1
      }
    }
    start[loser + 1] = edges
  }
  const target = new Int32Array(edges)
  let to = 0
  for (let loser = 0; loser < competitors; loser++) {
    for (let winner = 0; winner < competitors; winner++) {
      if (winner !== loser && wins[winner * competitors + loser]! > 0) target[to++] = winner
    }
  }
  return summarise({ nodes: competitors, start, target }, competitors, compared)
}

/**
 * Connectivity straight from the data in O(entries · log), for numbers of competitors whose pair matrix would not fit
 * in memory. Inside a sample all members of one value lose to a helper node, which loses to all members of the next
 * higher value: the same reachability as all pairs, with linearly many edges. Ties are exact equality here.
 */
export function connectivityOfData(
  competitors: number,
  results: Results | undefined,
  votes: Votes | undefined,
  rule: TieRule,
): Connectivity {
  const from: number[] = []
  const into: number[] = []
  const compared = new Uint8Array(competitors)
  let nodes = competitors
  const edge = (loser: number, winner: number): void => {
    from.push(loser)
    into.push(winner)
  }
  if (results !== undefined) {
    for (let s = 0; s < results.samples; s++) {
      const first = results.start[s]!
      const last = results.start[s + 1]!
      if (last - first < 2) continue
      const order = Array.from({ length: last - first }, (_, k) => first + k)
      order.sort((x, y) => results.value[x]! - results.value[y]!)
      let below: number[] = []
      for (let k = 0; k < order.length; ) {
        let end = k
        while (end < order.length && results.value[order[end]!] === results.value[order[k]!]) end++
        const level = order.slice(k, end).map((e) => results.competitor[e]!)
        if (rule !== "drop" && level.length > 1) {
          for (let i = 0; i < level.length; i++) {
            edge(level[i]!, level[(i + 1) % level.length]!)
            compared[level[i]!] = 1
          }
        }
        if (below.length > 0) {
          const helper = nodes++
          for (const loser of below) {
            edge(loser, helper)
            compared[loser] = 1
          }
          for (const winner of level) {
            edge(helper, winner)
            compared[winner] = 1
          }
        }
        below = level
        k = end
      }
    }
  }
  if (votes !== undefined) {
    for (let i = 0; i < votes.outcome.length; i++) {
      const a = votes.left[i]!
      const b = votes.right[i]!
      const o = votes.outcome[i]!
      if (o === 0 && rule === "drop") continue
      if (o >= 0) edge(b, a)
      if (o <= 0) edge(a, b)
      compared[a] = compared[b] = 1
    }
  }
  const start = new Float64Array(nodes + 1)
  for (let e = 0; e < from.length; e++) start[from[e]! + 1]!++
  for (let v = 0; v < nodes; v++) start[v + 1]! += start[v]!
  const at = start.slice()
  const target = new Int32Array(from.length)
  for (let e = 0; e < from.length; e++) target[at[from[e]!]!++] = into[e]!
  return summarise({ nodes, start, target }, competitors, compared)
}

/** Tarjan's strong components without recursion; a component gets its number after all that it loses to. */
function strongComponents(graph: Graph): { of: Int32Array; count: number } {
  const { nodes, start, target } = graph
  const index = new Int32Array(nodes).fill(-1)
  const reach = new Int32Array(nodes)
  const of = new Int32Array(nodes).fill(-1)
  const cursor = new Float64Array(nodes)
  const open = new Int32Array(nodes)
  const path = new Int32Array(nodes)
  let openCount = 0
  let clock = 0
  let count = 0
  for (let root = 0; root < nodes; root++) {
    if (index[root] !== -1) continue
    let depth = 0
    path[0] = root
    index[root] = reach[root] = clock++
    cursor[root] = start[root]!
    open[openCount++] = root
    while (depth >= 0) {
      const v = path[depth]!
      if (cursor[v]! < start[v + 1]!) {
        const u = target[cursor[v]!++]!
        if (index[u] === -1) {
          index[u] = reach[u] = clock++
          cursor[u] = start[u]!
          open[openCount++] = u
          path[++depth] = u
        } else if (of[u] === -1 && index[u]! < reach[v]!) reach[v] = index[u]!
        continue
      }
      if (reach[v] === index[v]) {
        let u: number
        do {
          u = open[--openCount]!
          of[u] = count
        } while (u !== v)
        count++
      }
      depth--
      if (depth >= 0 && reach[v]! < reach[path[depth]!]!) reach[path[depth]!] = reach[v]!
    }
  }
  return { of, count }
}

function summarise(graph: Graph, competitors: number, compared: Uint8Array): Connectivity {
  const { of, count } = strongComponents(graph)
  // Weak components by union-find over all nodes, helpers included.
  const parent = new Int32Array(graph.nodes)
  for (let v = 0; v < graph.nodes; v++) parent[v] = v
  const root = (v: number): number => {
    let r = v
    while (parent[r] !== r) {
      parent[r] = parent[parent[r]!]!
      r = parent[r]!
    }
    return r
  }
  for (let v = 0; v < graph.nodes; v++) {
    for (let e = graph.start[v]!; e < graph.start[v + 1]!; e++) {
      const a = root(v)
      const b = root(graph.target[e]!)
      if (a !== b) parent[a] = b
    }
  }
  // Edges run from loser to winner, and Tarjan closes a component after everything it reaches: its numbers ascend from
  // winners to losers. Numbers of helper nodes are skipped.
  const used = new Uint8Array(count)
  for (let v = 0; v < competitors; v++) if (compared[v] === 1) used[of[v]!] = 1
  const renumber = new Int32Array(count).fill(-1)
  let strong = 0
  for (let c = 0; c < count; c++) if (used[c] === 1) renumber[c] = strong++
  const components: number[][] = Array.from({ length: strong }, () => [])
  const component = new Int32Array(competitors).fill(-1)
  const unranked: number[] = []
  const weak = new Int32Array(strong).fill(-1)
  const weakOf = new Map<number, number>()
  for (let v = 0; v < competitors; v++) {
    if (compared[v] !== 1) {
      unranked.push(v)
      continue
    }
    const c = renumber[of[v]!]!
    component[v] = c
    components[c]!.push(v)
    const r = root(v)
    if (!weakOf.has(r)) weakOf.set(r, weakOf.size)
    weak[c] = weakOf.get(r)!
  }
  return { component, components, weak, weakCount: weakOf.size, unranked }
}

/**
 * The partial order between strong components as pairs [better, worse], without those that follow from others
 * (transitive reduction of the condensation). From the matrix of effective wins.
 */
export function componentOrder(
  wins: Float64Array,
  competitors: number,
  connectivity: Connectivity,
): readonly (readonly [number, number])[] {
  const count = connectivity.components.length
  if (count < 2) return []
  const above = new Uint8Array(count * count)
  for (let a = 0; a < competitors; a++) {
    for (let b = 0; b < competitors; b++) {
      if (a === b || !(wins[a * competitors + b]! > 0)) continue
      const better = connectivity.component[a]!
      const worse = connectivity.component[b]!
      if (better !== worse) above[better * count + worse] = 1
    }
  }
  // Components are in topological order, best first: an edge is implied when a path over a component between exists.
  const reach = Uint8Array.from(above)
  const kept: [number, number][] = []
  for (let better = count - 1; better >= 0; better--) {
    const row = new Uint8Array(count)
    for (let worse = better + 1; worse < count; worse++) {
      if (above[better * count + worse] !== 1) continue
      if (row[worse] !== 1) kept.push([better, worse])
      row[worse] = 1
      for (let below = worse + 1; below < count; below++) if (reach[worse * count + below] === 1) row[below] = 1
    }
    reach.set(row, better * count)
  }
  return kept.sort((x, y) => x[0] - y[0] || x[1] - y[1])
}
