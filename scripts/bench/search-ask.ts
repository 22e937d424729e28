/** What the next proposal of a search costs after 1,000 trials, telling its result included. Limit: 5 ms. */
import type { Observation } from "@exp/spec"
import { propose, tpeDefaults } from "@exp/spec/search/tpe"
import { optuna, optunaName } from "./_optuna-peer.ts"
import { searchFunctions } from "./_search-functions.ts"

const trials = 1000
const rounds = 60
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!

const { space, value } = searchFunctions.find(({ name }) => name === "mixed-conditional")!
const settings = { ...tpeDefaults, goal: "min" } as const
const known: Observation[] = []
const tell = (index: number, startup: number) => {
  const point = propose(space, known, index, { ...settings, startup })!
  known.push({ index, point, outcome: { status: "finished", score: value(point) } })
}
// The finished trials are random ones, here and there.
for (let i = 0; i < trials; i++) tell(i, trials)
const spent: number[] = []
for (let i = trials; i < trials + rounds; i++) {
  const begun = performance.now()
  tell(i, settings.startup)
  spent.push(performance.now() - begun)
}
let peer: number | undefined
for await (const line of optuna("ask", trials, rounds)) peer = median(line as number[])
const ours = median(spent)
process.stdout.write(
  `${JSON.stringify({
    name: "search/ask-tell/after-1000-trials",
    unit: "ms",
    ours,
    peer,
    peerName: optunaName,
    ratio: peer && ours / peer,
    rounds,
    limit: 5,
  })}\n`,
)
