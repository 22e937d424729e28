/** Pools of sample-level results for the ranking studies: two of real models, two made with known truth. */
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { derive, integer, type Key, normal, uniform } from "@exp/random"
import { globalMinMax, meanByDataset, meanObserved, meanOfZScores, type Results, resultsFromMatrix } from "@exp/ranking"

export interface ResultPool {
  readonly names: readonly string[]
  readonly results: Results
  /** Category (or data set) of each sample, from 0. */
  readonly category: ArrayLike<number>
  /** What a ranking is measured against: larger is better. */
  readonly reference: Float64Array
  /** True strengths in nats of mean 0, where the pool was made from them. */
  readonly strengths: Float64Array | undefined
}

// From the repository's root, where experiments live; the licence of each file is in the README beside them.
const folder = new URL("../../../../experiments/data/onebench/", import.meta.url)

function readPacked<A>(name: string): A {
  return JSON.parse(gunzipSync(readFileSync(new URL(name, folder))).toString("utf8")) as A
}

/** 29 language models on 12,032 questions of MMLU-Pro, right or wrong; reference: the mean. */
export function mmluPro(): ResultPool {
  const file = readPacked<{ models: string[]; scores: string[]; sampleCategory: number[] }>(
    "onebench-mmlupro-binary.json.gz",
  )
  const results = resultsFromMatrix(file.scores.map((row) => Array.from(row, (c) => (c === "-" ? null : Number(c)))))
  return {
    names: file.models,
    results,
    category: file.sampleCategory,
    reference: meanObserved(results),
    strengths: undefined,
  }
}

/**
 * 17 English–German translation systems on 1,056 segments of two data sets, expert penalties negated.
 *
 * @param reference "mean" of all segments; "min-max": means by data set under one min-max, averaged; "z-score": means
 *   by data set standardised within it, averaged
 */
export function wmt21(reference: "mean" | "min-max" | "z-score" = "mean"): ResultPool {
  const file = readPacked<{
    models: string[]
    scores: (number | null)[][]
    datasets: string[]
    sampleIds: string[]
  }>("onebench-wmt21-ende-numeric.json.gz")
  const category = file.sampleIds.map((id) => file.datasets.indexOf(id.split(":")[0]!))
  const results = resultsFromMatrix(file.scores)
  const means = meanByDataset(results, category, file.datasets.length)
  return {
    names: file.models,
    results,
    category,
    reference:
      reference === "mean"
        ? meanObserved(results)
        : reference === "min-max"
          ? globalMinMax(means)
          : meanOfZScores(means),
    strengths: undefined,
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${String(i).padStart(3, "0")}`)

/**
 * The published generator: competitor i has mean_i ~ U(0,1) and sd_i ~ U(0, dispersion) and scores N(mean_i, sd_i); half
 * of the samples are made binary by a threshold between their least and greatest score. Reference: the true means.
 */
export function thresholdPool(competitors: number, samples: number, dispersion: number, stream: Key): ResultPool {
  const mean = Float64Array.from({ length: competitors }, (_, i) => uniform(derive(stream, "mean"), i))
  const sd = Float64Array.from({ length: competitors }, (_, i) => dispersion * uniform(derive(stream, "sd"), i))
  const rows = Array.from({ length: competitors }, () => new Float64Array(samples))
  for (let j = 0; j < samples; j++) {
    const noise = derive(stream, "noise", j)
    let low = Infinity
    let high = -Infinity
    for (let i = 0; i < competitors; i++) {
      const score = mean[i]! + sd[i]! * normal(noise, i)
      rows[i]![j] = score
      low = Math.min(low, score)
      high = Math.max(high, score)
    }
    if (uniform(derive(stream, "binary"), j) < 0.5) {
      const threshold = low + (high - low) * uniform(derive(stream, "threshold"), j)
      for (const row of rows) row[j] = row[j]! > threshold ? 1 : 0
    }
  }
  return {
    names: numbered(competitors),
    results: resultsFromMatrix(rows),
    category: new Int32Array(samples),
    reference: mean,
    strengths: undefined,
  }
}

/** Gumbel scores of scale 1 at locations dispersion · rank: exactly a Plackett–Luce model of these strengths. */
export function gumbelPool(competitors: number, samples: number, dispersion: number, stream: Key): ResultPool {
  const strengths = Float64Array.from({ length: competitors }, (_, i) => dispersion * (i - (competitors - 1) / 2))
  const rows = Array.from({ length: competitors }, (_, i) =>
    Float64Array.from({ length: samples }, (_, j) => {
      const u = (integer(derive(stream, "gumbel", j), 2 ** 48, i) + 0.5) / 2 ** 48
      return strengths[i]! - Math.log(-Math.log(u))
    }),
  )
  return {
    names: numbered(competitors),
    results: resultsFromMatrix(rows),
    category: new Int32Array(samples),
    reference: strengths,
    strengths,
  }
}
