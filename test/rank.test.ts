import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { parquetWriteFile } from "hyparquet-writer"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, root } from "./exp.ts"

interface Ranked {
  readonly identifiable: boolean
  readonly reason: string
  readonly components: string[][]
  readonly comparisons: number
  readonly samples: number
  readonly competitors: {
    name: string
    rank: number | null
    componentRank: number | null
    score: number | null
    se: number | null
    low: number | null
    high: number | null
    component: number | null
  }[]
}

const reference = join(root, "experiments", "data", "onebench")
const rows = (lines: readonly string[]) => `competitor,sample,metric,value\n${lines.join("\n")}\n`

/** A folder with a file of results in it, imported into its runs.db. */
async function imported(content: string, options: readonly string[] = [], name = "results.csv") {
  const cwd = emptyFolder()
  writeFileSync(join(cwd, name), content)
  const outcome = await exp(["import", name, ...options], { cwd })
  return { cwd, outcome }
}

async function ranked(cwd: string, args: readonly string[] = []): Promise<Ranked> {
  const outcome = await exp(["rank", "--json", ...args], { cwd })
  expect(outcome.stderr).not.toContain("error")
  expect(outcome.code).toBe(0)
  return JSON.parse(outcome.stdout) as Ranked
}

describe("exp rank on real results", () => {
  let cwd: string
  let expected: {
    ranking_official: string[]
    models: string[]
    seClusterSandwich: number[]
    logStrength: Record<string, number[]>
    byCategory: Record<string, { logStrength: number[]; n: number }>
  }
  let models: string[]
  beforeAll(async () => {
    const file = JSON.parse(
      gunzipSync(readFileSync(join(reference, "onebench-mmlupro-binary.json.gz"))).toString("utf8"),
    ) as {
      models: string[]
      sampleIds: number[]
      categories: string[]
      sampleCategory: number[]
      scores: string[]
    }
    models = file.models
    expected = JSON.parse(readFileSync(join(reference, "onebench-mmlupro-binary.expected.json"), "utf8"))
    const lines = ["competitor,sample,metric,value,dataset,tags"]
    file.scores.forEach((row, m) => {
      for (let j = 0; j < row.length; j++) {
        if (row[j] !== "-")
          lines.push(
            `${models[m]},${file.sampleIds[j]},accuracy,${row[j]},mmlu-pro,category=${file.categories[file.sampleCategory[j]!]}`,
          )
      }
    })
    const made = await imported(`${lines.join("\n")}\n`)
    expect(made.outcome.code).toBe(0)
    cwd = made.cwd
  })

  it("gives the published strengths and standard errors", async () => {
    const found = await ranked(cwd)
    expect(found).toMatchObject({ identifiable: true, samples: 12_032, comparisons: 1_560_931 + 3_276_105 })
    expect(found.competitors.map((c) => c.name)).toEqual(expected.ranking_official)
    const official = expected.logStrength["ilsr_tie_counts_as_one_win_each (official)"]!
    for (const c of found.competitors) {
      const m = models.indexOf(c.name)
      expect(Math.abs(c.score! - official[m]!)).toBeLessThan(1e-5)
      expect(Math.abs(c.se! - expected.seClusterSandwich[m]!)).toBeLessThan(1e-5)
      expect(c.low).toBeLessThan(c.score!)
      expect(c.high).toBeGreaterThan(c.score!)
    }
    expect(found.competitors.reduce((sum, c) => sum + c.score!, 0)).toBeCloseTo(0, 9)
  })
  it("changes nothing when the same file comes again", async () => {
    const before = await ranked(cwd)
    const again = await exp(["import", "results.csv"], { cwd })
    expect(again.code).toBe(0)
    expect(await ranked(cwd)).toEqual(before)
  })
  it("ranks on the samples of a tag, alone and side by side", async () => {
    const law = await ranked(cwd, ["--where", "category = 'law'"])
    const wanted = expected.byCategory["law"]!
    expect(law.samples).toBe(wanted.n)
    for (const c of law.competitors)
      expect(Math.abs(c.score! - wanted.logStrength[models.indexOf(c.name)]!)).toBeLessThan(1e-5)
    const by = (await ranked(cwd, ["--by", "category"])) as Ranked & {
      by: { values: { value: string; ranking: Ranked }[] }
    }
    expect(by.by.values.length).toBe(14)
    expect(by.by.values.find((part) => part.value === "law")!.ranking.competitors).toEqual(law.competitors)
  })
  it("chooses a subset with a guarantee", async () => {
    const found = (await ranked(cwd, ["--select", "5", "--by", "category", "--fair", "Mistral*:2"])) as Ranked & {
      selection: { chosen: string[]; free: string[]; ratio: number; voters: number }
    }
    expect(found.selection.chosen.length).toBe(5)
    expect(found.selection.chosen.filter((name) => name.startsWith("Mistral")).length).toBe(2)
    expect(found.selection.free.filter((name) => name.startsWith("Mistral")).length).toBe(0)
    expect(found.selection.ratio).toBeLessThan(1)
    expect(found.selection.voters).toBe(14)
  })
  it("says what is missing and what to measure", async () => {
    const found = (await ranked(cwd, ["--missing"])) as Ranked & {
      missing: {
        coverage: { name: string; measured: number; of: number }[]
        next: { competitor: string; gain: number }[]
      }
    }
    expect(found.missing.coverage.find((c) => c.name === "DeepSeek-Coder-V2")).toMatchObject({
      measured: 10_351,
      of: 12_032,
    })
    expect(found.missing.next.length).toBe(10)
    expect(found.missing.next.every((n) => n.gain > 0)).toBe(true)
  })
  it("draws", async () => {
    for (const [name, begin] of [
      ["r.svg", "<?xml"],
      ["r.html", "<!doctype html>"],
      ["r.png", "\u0089PNG"],
    ] as const) {
      const outcome = await exp(["rank", "--out", name], { cwd })
      expect(outcome.code).toBe(0)
      expect(readFileSync(join(cwd, name)).toString("latin1").startsWith(begin)).toBe(true)
    }
    const svg = readFileSync(join(cwd, "r.svg"), "utf8")
    for (const model of ["gemini-1.5-pro-002", "Kendall", "Share won"]) expect(svg).toContain(model)
    const bad = await exp(["rank", "--out", "r.gif"], { cwd })
    expect(bad.code).toBe(2)
    expect(bad.stderr).toContain(".svg, .png or .html")
  })
  it("prints a table and CSV", async () => {
    const table = await exp(["rank", "--bootstrap", "50"], { cwd })
    expect(table.stdout).toContain("gemini-1.5-pro-002")
    expect(table.stdout).toContain("bootstrap over samples, 50 replicates")
    const csv = await exp(["rank", "--csv"], { cwd })
    expect(csv.stdout.split("\n")[0]).toBe("name,rank,score,se,low,high,component,componentRank,rankLow,rankHigh")
    expect(csv.stdout.trim().split("\n").length).toBe(30)
  })
})

describe("exp rank where the data do not determine a ranking", () => {
  it("ranks inside components that never met", async () => {
    const { cwd } = await imported(
      rows(["a,1,acc,1", "b,1,acc,0", "a,2,acc,0", "b,2,acc,1", "c,3,acc,1", "d,3,acc,0", "c,4,acc,0", "d,4,acc,1"]),
    )
    const found = await ranked(cwd)
    expect(found.identifiable).toBe(false)
    expect(found.reason).toContain("never compared")
    expect(found.components.map((c) => [...c].sort())).toEqual([
      ["a", "b"],
      ["c", "d"],
    ])
    expect(found.competitors.every((c) => c.rank === null && c.componentRank === 1)).toBe(true)
    const table = await exp(["rank"], { cwd })
    expect(table.stdout).toContain("No global ranking")
  })
  it("does not rank a competitor that only loses", async () => {
    const { cwd } = await imported(rows(["a,1,acc,2", "b,1,acc,3", "l,1,acc,0", "a,2,acc,3", "b,2,acc,2", "l,2,acc,0"]))
    const found = await ranked(cwd)
    expect(found.identifiable).toBe(false)
    expect(found.reason).toContain("l never wins")
    expect(found.competitors.find((c) => c.name === "l")).toMatchObject({ rank: null, score: null, component: 1 })
  })
  it("answers for one competitor, no overlap and all ties", async () => {
    const one = await imported(rows(["a,1,acc,1", "a,2,acc,0"]))
    expect((await ranked(one.cwd)).reason).toContain("one competitor")
    const apart = await imported(rows(["a,1,acc,1", "b,2,acc,0"]))
    expect((await ranked(apart.cwd)).reason).toContain("no two competitors")
    const ties = await imported(rows(["a,1,acc,1", "b,1,acc,1"]))
    expect((await ranked(ties.cwd)).competitors.map((c) => [c.rank, c.score])).toEqual([
      [1, 0],
      [1, 0],
    ])
    expect((await ranked(ties.cwd, ["--tie", "drop"])).reason).toContain("ties are dropped")
  })
})

describe("exp import", () => {
  it("reports bad rows with their lines and keeps the rest", async () => {
    const { cwd, outcome } = await imported(
      rows([
        "a,1,acc,1",
        "b,1,acc,nan",
        ",1,acc,1",
        "b,2,acc,zero",
        "b,1,acc,0",
        "b,1,acc,1",
        "a,2,acc,0",
        "b,2,acc,1",
      ]),
    )
    expect(outcome.code).toBe(0)
    for (const line of [
      "line 3: NaN",
      "line 4: the competitor is missing",
      'line 5: the value is a number, got "zero"',
      "line 7: contradicts",
    ]) {
      expect(outcome.stderr).toContain(line)
    }
    const found = await ranked(cwd)
    expect(found.comparisons).toBe(2)
  })
  it("imports nothing of a bad file with --strict", async () => {
    const { cwd, outcome } = await imported(rows(["a,1,acc,1", "b,1,acc,0", "a,2,acc,"]), ["--strict"])
    expect(outcome.code).toBe(2)
    expect(outcome.stderr).toContain("line 4: the value is missing")
    const rank = await exp(["rank"], { cwd })
    expect(rank.code).toBe(2)
    expect(rank.stderr).toContain("no sample results")
  })
  it("asks for a direction that nobody gave", async () => {
    const { cwd, outcome } = await imported(rows(["a,1,zonk,1", "b,1,zonk,0", "a,2,zonk,1", "b,2,zonk,3"]))
    expect(outcome.stderr).toContain("no direction")
    const without = await exp(["rank"], { cwd })
    expect(without.code).toBe(2)
    expect(without.stderr).toContain("--goal max or --goal min")
    const more = await ranked(cwd, ["--goal", "max"])
    const less = await ranked(cwd, ["--goal", "min"])
    expect(less.comparisons).toBe(more.comparisons)
    expect((await exp(["rank", "--metric", "other"], { cwd })).stderr).toContain("zonk")
  })
  it("reads goals of its own, quoted fields and Windows lines", async () => {
    const { cwd } = await imported(
      'competitor,sample,metric,value\r\n"a, the ""first""",1,zonk,1\r\nb,1,zonk,0\r\n"a, the ""first""",2,zonk,1\r\nb,2,zonk,2\r\nb,3,zonk,2\r\n"a, the ""first""",3,zonk,5\r\n',
      ["--goal", "min"],
    )
    const found = await ranked(cwd)
    expect(found.competitors.map((c) => c.name)).toEqual(["b", 'a, the "first"'])
    expect(found.competitors[0]!.score).toBeCloseTo(Math.log(2) / 2, 9)
  })
  it("takes votes, once", async () => {
    const votes = `left,right,winner\n${"a,b,left\n".repeat(3)}a,b,right\nb,a,tie\na,a,left\na,b,nobody\n`
    const { cwd, outcome } = await imported(votes, [], "votes.csv")
    expect(outcome.stderr).toContain("5 votes imported, 2 rows left out")
    const found = await ranked(cwd, ["--tie", "drop"])
    expect(found.competitors.map((c) => c.name)).toEqual(["a", "b"])
    expect(found.competitors[0]!.score).toBeCloseTo(Math.log(3) / 2, 9)
    await exp(["import", "votes.csv"], { cwd })
    expect((await ranked(cwd)).comparisons).toBe(5)
  })
  it("gives the same ranking from CSV, JSON lines and Parquet", async () => {
    const data = Array.from({ length: 60 }, (_, i) => ({
      competitor: `m${i % 4}`,
      sample: `s${Math.floor(i / 4)}`,
      metric: "acc",
      value: ((i * 7919) % 13) / 13,
      dataset: "d",
      tags: `part=${i % 2}`,
    }))
    const csv = await imported(
      `competitor,sample,metric,value,dataset,tags\n${data.map((d) => Object.values(d).join(",")).join("\n")}\n`,
    )
    const lines = await imported(
      data.map((d) => JSON.stringify({ ...d, tags: { part: Number(d.tags.slice(5)) } })).join("\n"),
      [],
      "r.jsonl",
    )
    const cwd = emptyFolder()
    const column = (name: keyof (typeof data)[number]) => ({
      name,
      data: data.map((d) => d[name]) as string[] & number[],
    })
    parquetWriteFile({
      filename: join(cwd, "r.parquet"),
      columnData: [
        column("competitor"),
        column("sample"),
        column("metric"),
        column("value"),
        column("dataset"),
        column("tags"),
      ],
      rowGroupSize: 25,
    })
    expect((await exp(["import", "r.parquet"], { cwd })).code).toBe(0)
    const found = await ranked(csv.cwd)
    expect(found.competitors.length).toBe(4)
    expect(await ranked(lines.cwd)).toEqual(found)
    expect(await ranked(cwd)).toEqual(found)
  })
  it("searches texts by words", async () => {
    const { cwd } = await imported(
      [
        { competitor: "a", sample: "1", metric: "acc", value: 1, text: "a pair of ankle boots" },
        { competitor: "b", sample: "1", metric: "acc", value: 0, text: "a pair of ankle boots" },
        { competitor: "a", sample: "2", metric: "acc", value: 0, text: "a red shirt" },
        { competitor: "b", sample: "2", metric: "acc", value: 1, text: "a red shirt" },
        { competitor: "a", sample: "3", metric: "acc", value: 0, text: "boots for rain" },
        { competitor: "b", sample: "3", metric: "acc", value: 1, text: "boots for rain" },
      ]
        .map((row) => JSON.stringify(row))
        .join("\n"),
      [],
      "r.jsonl",
    )
    expect((await ranked(cwd)).samples).toBe(3)
    expect((await ranked(cwd, ["--about", "ankle boots"])).samples).toBe(2)
    expect((await ranked(cwd, ["--about", "ankle boots", "--top", "1"])).samples).toBe(1)
    const nothing = await exp(["rank", "--about", "submarine"], { cwd })
    expect(nothing.code).toBe(2)
    expect(nothing.stderr).toContain("submarine")
  })
  it("reads per-sample logs of lm-evaluation-harness", async () => {
    const cwd = emptyFolder()
    const models = { org__small: [1, 0, 0, 1], org__large: [0, 1, 1, 1] }
    for (const [model, values] of Object.entries(models)) {
      mkdirSync(join(cwd, "out", model), { recursive: true })
      const record = (id: number, filter: string, metric: string, value: number) => ({
        doc_id: id,
        doc: { question: `question ${id}` },
        target: "x",
        arguments: [["asked", " x"]],
        resps: [],
        filtered_resps: [],
        filter,
        metrics: [metric],
        [metric]: value,
      })
      const log = values.flatMap((value, id) => [
        record(id, "none", "acc", value),
        record(id, "strict-match", "exact_match", value),
      ])
      writeFileSync(
        join(cwd, "out", model, "samples_arc_easy_2024-08-01T10-00-00.123456.jsonl"),
        `${log.map((x) => JSON.stringify(x)).join("\n")}\n`,
      )
      writeFileSync(
        join(cwd, "out", model, "results_2024-08-01T10-00-00.123456.json"),
        JSON.stringify({ higher_is_better: { arc_easy: { acc: true } } }),
      )
    }
    const outcome = await exp(["import", "out", "--json"], { cwd })
    expect(JSON.parse(outcome.stdout).files).toMatchObject([
      { format: "lm-eval", imported: 8 },
      { format: "lm-eval", imported: 8 },
    ])
    const found = await ranked(cwd, ["--metric", "acc", "--tie", "drop"])
    expect(found.competitors.map((c) => c.name)).toEqual(["org/large", "org/small"])
    expect(found.competitors[0]!.score).toBeCloseTo(Math.log(2) / 2, 9)
    expect((await ranked(cwd, ["--metric", "exact_match,strict-match"])).samples).toBe(4)
    expect((await ranked(cwd, ["--about", "question"])).samples).toBe(8)
  })
  it("reads HELM runs", async () => {
    const cwd = emptyFolder()
    for (const [model, values] of [
      ["org/small", [1, 0, 0]],
      ["org/large", [0, 1, 1]],
    ] as const) {
      const folder = join(cwd, "runs", "v1", `mmlu:subject=anatomy,model=${model.replace("/", "_")}`)
      mkdirSync(folder, { recursive: true })
      writeFileSync(
        join(folder, "run_spec.json"),
        JSON.stringify({ name: `mmlu:subject=anatomy,model=${model.replace("/", "_")}`, adapter_spec: { model } }),
      )
      writeFileSync(
        join(folder, "instances.json"),
        JSON.stringify(values.map((_, i) => ({ id: `id${i}`, input: { text: `bone ${i}` } }))),
      )
      const stat = (name: string, mean: number) => ({ name: { name, split: "test" }, count: 1, sum: mean, mean })
      writeFileSync(
        join(folder, "per_instance_stats.json"),
        JSON.stringify([
          ...values.map((value, i) => ({
            instance_id: `id${i}`,
            train_trial_index: 0,
            stats: [stat("exact_match", value), stat("num_prompt_tokens", 300)],
          })),
          {
            instance_id: "id0",
            perturbation: { name: "typos" },
            train_trial_index: 0,
            stats: [stat("exact_match", 1)],
          },
        ]),
      )
    }
    const outcome = await exp(["import", "runs"], { cwd })
    expect(outcome.code).toBe(0)
    const found = await ranked(cwd)
    expect(found.samples).toBe(3)
    expect(found.competitors.map((c) => c.name)).toEqual(["org/large", "org/small"])
    expect((await ranked(cwd, ["--dataset", "mmlu:subject=anatomy", "--where", "split = 'test'"])).samples).toBe(3)
  })
  it("explains what it cannot read", async () => {
    const cwd = emptyFolder()
    const cases: readonly (readonly [string, string, string])[] = [
      ["absent.csv", "", "does not exist"],
      ["empty.csv", "", "is empty"],
      ["odd.csv", "x,y\n1,2\n", "Results have competitor,sample,metric,value"],
      ["odd.txt", "x", "--format"],
    ]
    for (const [name, content, message] of cases) {
      if (name !== "absent.csv") writeFileSync(join(cwd, name), content)
      const outcome = await exp(["import", name], { cwd })
      expect(outcome.code).toBe(2)
      expect(outcome.stderr).toContain(message)
    }
    const rank = await exp(["rank", "nothing"], { cwd: emptyFolder() })
    expect(rank.code).toBe(2)
    expect(existsSync(join(cwd, "nothing"))).toBe(false)
  })
})
