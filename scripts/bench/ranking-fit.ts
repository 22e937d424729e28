/** Ranking: counts and exact fits on the sizes of the specification, one thread, beside scipy. Limits in ms. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { derive, fillBits, fillUniform, key } from "@exp/random"
import {
  applyTieRule,
  bootstrap,
  countResults,
  countVotes,
  fitStrengths,
  informationInverse,
  packResults,
  type Results,
  resultsFromMatrix,
  resultsFromRows,
  type Votes,
} from "@exp/ranking"
import { compare, scipyPeer } from "./_scipy-peer.ts"

const fit = (results: Results) => fitStrengths(applyTieRule(countResults(results), "one-each"), results.competitors)

// 29 models × 12,032 questions, binary, with ties
const file = JSON.parse(
  gunzipSync(
    readFileSync(new URL("../../experiments/data/onebench/onebench-mmlupro-binary.json.gz", import.meta.url)),
  ).toString("utf8"),
) as { scores: string[] }
const matrix = resultsFromMatrix(file.scores.map((row) => Array.from(row, (c) => (c === "-" ? null : Number(c)))))
{
  const bytes = Uint8Array.from(file.scores.join(""), (c) => (c === "-" ? 2 : Number(c)))
  const peer = scipyPeer("binary", [bytes], 29, 12_032)
  await compare("ranking/binary-29x12032/counts+fit", () => fit(matrix), peer, "binary", 9, 100)
  const wins = applyTieRule(countResults(matrix), "one-each")
  await compare(
    "ranking/binary-29x12032/200-bootstraps",
    () => {
      const { theta } = fitStrengths(wins, 29)
      bootstrap(theta, informationInverse(wins, theta)!, packResults(matrix), undefined, {
        replicates: 200,
        stream: key(1),
      })
    },
    peer,
    "binary-bootstrap 200",
    3,
    5000,
  )
  peer?.close()
}

/** Votes among `m` competitors of known strengths; a fifth of the votes are ties. */
function makeVotes(m: number, n: number): Votes {
  const words = fillBits(key(2, m, n), new Uint32Array(3 * n))
  const left = new Int32Array(n)
  const right = new Int32Array(n)
  const outcome = new Int8Array(n)
  for (let i = 0; i < n; i++) {
    left[i] = words[3 * i]! % m
    right[i] = (left[i]! + 1 + (words[3 * i + 1]! % (m - 1))) % m
    const u = words[3 * i + 2]! / 2 ** 32
    const p = 1 / (1 + Math.exp((3 * (left[i]! - right[i]!)) / m))
    outcome[i] = u < 0.2 ? 0 : (u - 0.2) / 0.8 < p ? 1 : -1
  }
  return { competitors: m, left, right, outcome }
}

const fitVotes = (votes: Votes) => fitStrengths(applyTieRule(countVotes(votes), "one-each"), votes.competitors)
for (const [n, limit] of [
  [1_000_000, 200],
  [10_000_000, 4000],
] as const) {
  const votes = makeVotes(129, n)
  const peer = scipyPeer("votes", [votes.left, votes.right, votes.outcome], 129, n)
  await compare(`ranking/votes-129x${n}/counts+fit`, () => fitVotes(votes), peer, "votes", 3, limit)
  peer?.close()
}
{
  const votes = makeVotes(129, 1_700_000)
  const peer = scipyPeer("votes", [votes.left, votes.right, votes.outcome], 129, 1_700_000)
  await compare(
    "ranking/votes-129x1700000/fit+100-bootstraps",
    () => {
      const wins = applyTieRule(countVotes(votes), "one-each")
      const { theta } = fitStrengths(wins, 129)
      bootstrap(theta, informationInverse(wins, theta)!, undefined, votes, { replicates: 100, stream: key(3) })
    },
    peer,
    "votes-bootstrap 100",
    3,
    2000,
  )
  peer?.close()
}

/** `m` competitors × `n` samples, numeric, each cell present with probability `density`. */
function makeSparse(
  m: number,
  n: number,
  density: number,
): { competitor: Int32Array; sample: Int32Array; value: Float64Array } {
  const count = Math.round(m * n * density)
  const competitor = new Int32Array(count)
  const sample = new Int32Array(count)
  const value = new Float64Array(count)
  const noise = fillUniform(derive(key(4), m, n), new Float64Array(count))
  // Every sample gets density·m competitors from a random offset and stride: distinct, without a set.
  const each = Math.round(m * density)
  const words = fillBits(derive(key(5), m, n), new Uint32Array(2 * n))
  for (let s = 0, r = 0; s < n; s++) {
    const stride = 1 + (words[2 * s]! % Math.max(1, Math.floor((m - 1) / each)))
    const offset = words[2 * s + 1]! % m
    for (let k = 0; k < each && r < count; k++, r++) {
      competitor[r] = (offset + k * stride) % m
      sample[r] = s
      value[r] = competitor[r]! / m + 2 * noise[r]!
    }
  }
  return { competitor, sample, value }
}
{
  const rows = makeSparse(1000, 100_000, 0.05)
  const peer = scipyPeer("sparse", [rows.competitor, rows.sample, rows.value], 1000, rows.value.length)
  await compare(
    "ranking/numeric-1000x100000-5%/rows+counts+fit",
    () => fit(resultsFromRows(rows, { competitors: 1000, samples: 100_000 })),
    peer,
    "sparse",
    1,
    10_000,
  )
  peer?.close()
}

// Growth with size: votes (linear), competitors (cubic in the fit), samples (linear).
for (const n of [1e5, 3e5, 1e6, 3e6]) {
  const votes = makeVotes(129, n)
  await compare(`ranking/growth/votes/${n}`, () => fitVotes(votes), undefined, "", 3, 4000)
}
for (const m of [50, 100, 200, 400, 800]) {
  const results = resultsFromRows(makeSparse(m, 2000, 0.2), { competitors: m, samples: 2000 })
  await compare(`ranking/growth/competitors/${m}`, () => fit(results), undefined, "", 3, 10_000)
}
