/** The reference files of the ranking studies, read from experiments/data/onebench. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { type Results, resultsFromMatrix } from "../src/results.ts"

const folder = new URL("../../../experiments/data/onebench/", import.meta.url)

function readJson<A>(name: string): A {
  const bytes = readFileSync(new URL(name, folder))
  return JSON.parse((name.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8")) as A
}

export interface Pool {
  readonly names: readonly string[]
  readonly results: Results
  readonly category: readonly number[]
  readonly categories: readonly string[]
}

export function mmluPro(): Pool {
  const file = readJson<{ models: string[]; scores: string[]; categories: string[]; sampleCategory: number[] }>(
    "onebench-mmlupro-binary.json.gz",
  )
  const results = resultsFromMatrix(file.scores.map((row) => Array.from(row, (c) => (c === "-" ? null : Number(c)))))
  return { names: file.models, results, category: file.sampleCategory, categories: file.categories }
}

export function wmt(): Pool {
  const file = readJson<{ models: string[]; scores: (number | null)[][]; datasets: string[]; sampleIds: string[] }>(
    "onebench-wmt21-ende-numeric.json.gz",
  )
  const category = file.sampleIds.map((id) => file.datasets.indexOf(id.split(":")[0]!))
  return { names: file.models, results: resultsFromMatrix(file.scores), category, categories: file.datasets }
}

export interface MmluExpected {
  readonly nObserved: number[]
  readonly meanScore: number[]
  readonly wins_row0: number[]
  readonly ties_row0: number[]
  readonly totalWins: number
  readonly totalTiesUnordered: number
  readonly logStrength: Record<string, number[]>
  readonly "elo_K4_samples_in_order_pairs_i<j": number[]
  readonly ranking_official: string[]
  readonly tauToMean: Record<string, number>
  readonly byCategory: Record<string, { n: number; logStrength: number[]; tauToGlobal: number }>
  readonly u01_check: Record<string, number>
  readonly missing: (Record<string, number> & { logStrength_official?: number[] })[]
  readonly bootstrapOverSamples_B200: { se: number[] }
  readonly blockMissing: { runs: Record<string, number>[] }
  readonly seClusterSandwich: number[]
  readonly seNaiveIndependentGames: number[]
}

export interface WmtExpected {
  readonly nObserved: number[]
  readonly meanScore: number[]
  readonly wins: number[][]
  readonly tiesUnordered: number[][]
  readonly logStrength_official: number[]
  readonly logStrength_bt_half: number[]
  readonly "elo_K4_samples_in_order_pairs_i<j": number[]
  readonly tauToMean_official: number
  readonly tauToMean_bt_half: number
  readonly perDatasetMean: number[][]
  readonly publishedGroundTruth_globalMinMax: number[]
  readonly tau_official_vs_publishedGT: number
  readonly missing: Record<string, number>[]
}

export const mmluExpected = (): MmluExpected => readJson("onebench-mmlupro-binary.expected.json")
export const wmtExpected = (): WmtExpected => readJson("onebench-wmt21-ende-numeric.expected.json")
