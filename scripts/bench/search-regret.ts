/**
 * How close to the least value a search by TPE comes, beside Optuna's TPE on the same functions: 100 trials, one after
 * the other, medians over 20 seeds. `--table FILE` writes the whole table, searches in rounds of four included.
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import type { Observation } from "@exp/spec"
import { propose, tpeDefaults } from "@exp/spec/search/tpe"
import { optuna, optunaName } from "./_optuna-peer.ts"
import { type SearchFunction, searchFunctions } from "./_search-functions.ts"

const trials = 100
const seeds = 20
const { values: options } = parseArgs({ options: { table: { type: "string" } } })

const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The values that one search sees, in the order of its trials. */
function search({ space, value }: SearchFunction, seed: number, parallel: number): number[] {
  const known: Observation[] = []
  while (known.length < trials) {
    const round: Observation[] = []
    for (let i = known.length; i < Math.min(trials, known.length + parallel); i++) {
      const point = propose(space, [...known, ...round], i, { ...tpeDefaults, seed, goal: "min" })
      if (point === undefined) throw new Error("the space is exhausted")
      round.push({ index: i, point })
    }
    for (const one of round) known.push({ ...one, outcome: { status: "finished", score: value(one.point) } })
  }
  return known.map(({ outcome }) => (outcome?.status === "finished" ? outcome.score : Number.NaN))
}

const regret = (values: readonly (readonly number[])[], after: number, least: number): number =>
  median(values.map((one) => Math.min(...one.slice(0, after)) - least))

const peers = new Map<string, readonly (readonly number[])[]>()
for await (const line of optuna("regret", trials, seeds)) {
  const { name, probe, values } = line as { name: string; probe: number; values: number[][] }
  const own = searchFunctions.find((one) => one.name === name)!
  if (Math.abs(own.value(own.probe) - probe) > 1e-9) throw new Error(`${name} is not the same function on both sides`)
  peers.set(name, values)
}

const rows: string[][] = []
for (const one of searchFunctions) {
  const all = (parallel: number) => Array.from({ length: seeds }, (_, seed) => search(one, seed, parallel))
  const ours = all(1)
  const rounds = all(4)
  const peer = peers.get(one.name)
  const own = regret(ours, trials, one.least)
  const theirs = peer && regret(peer, trials, one.least)
  process.stdout.write(
    `${JSON.stringify({
      name: `search/regret/${one.name}`,
      unit: "regret",
      ours: own,
      peer: theirs,
      peerName: optunaName,
      ratio: theirs && own / theirs,
      rounds: seeds,
      inRoundsOfFour: regret(rounds, trials, one.least),
    })}\n`,
  )
  for (const after of [25, 50, 100]) {
    const [a, b] = [regret(ours, after, one.least), regret(rounds, after, one.least)]
    const c = peer && regret(peer, after, one.least)
    rows.push([
      one.name,
      String(after),
      a.toPrecision(3),
      b.toPrecision(3),
      c?.toPrecision(3) ?? "–",
      c === undefined ? "–" : (a / c).toFixed(2),
      c === undefined ? "–" : (b / c).toFixed(2),
    ])
  }
}

if (options.table !== undefined) {
  const head = ["function", "trials", "TPE", "in rounds of 4", optunaName ?? "optuna", "ratio", "ratio, rounds of 4"]
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")
  writeFileSync(
    options.table,
    [
      "Regret: the least value found, less the least value there is. Medians over 20 seeds; below 1, the ratio says that",
      "this project's TPE came closer than Optuna's (default settings). npm run bench -- --filter search-regret",
      "",
      line(head),
      line(widths.map((width) => "─".repeat(width))),
      ...rows.map(line),
      "",
    ].join("\n"),
  )
}
