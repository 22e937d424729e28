import { execFileSync, spawnSync } from "node:child_process"
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { openStore, type Store } from "@exp/store"
import { pointBlocks, readRunRecord } from "@exp/store/interchange"
import { beforeAll, describe, expect, it } from "vitest"
import type { ExportOptions } from "../packages/cli/src/commands/export.ts"
import type { ImportOptions } from "../packages/cli/src/commands/import.ts"
import { exportCommand } from "../packages/cli/src/export-command.ts"
import { importCommand } from "../packages/cli/src/import-command.ts"
import { crc32c } from "../packages/cli/src/interchange/crc32c.ts"
import { showCommand } from "../packages/cli/src/show-command.ts"
import { captured } from "./captured.ts"
import { emptyFolder, root } from "./exp.ts"

const folder = emptyFolder()
const db = join(folder, "runs.db")

interface Imported {
  readonly runs: readonly {
    state: string
    points: number
    run?: number
    name: string
    experiment: string
    problems: string[]
  }[]
  readonly stderr: string
}

async function bring(to: string, paths: readonly string[], options: ImportOptions = {}): Promise<Imported> {
  const { stdout, stderr } = await captured(() => importCommand(paths, options, { db: to, json: true }))
  process.exitCode = 0
  return { ...(JSON.parse(stdout) as { runs: Imported["runs"] }), stderr }
}

async function write(
  to: ExportOptions["to"],
  out: string,
  options: Partial<ExportOptions> = {},
  what: readonly string[] = [],
) {
  const { stdout } = await captured(() => exportCommand(what, { to, out, ...options }, { db, json: true }))
  return JSON.parse(stdout) as { runs: number; points: number; files: string[] }
}

const filesBelow = (path: string): string[] =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** Everything of a database that a round trip must bring back, by what does not depend on row numbers. */
function dump(store: Store, options: { readonly artifacts: boolean }) {
  const ids = store.connection.sql<{ id: number }>("SELECT id FROM runs ORDER BY trial_id, attempt").all()
  return ids.map(({ id }) => {
    const record = readRunRecord(store, id)!
    const { origin: _, ...environment } = (record.run.environment ?? {}) as Record<string, unknown>
    return {
      record: { ...record, run: { ...record.run, environment } },
      points: [...pointBlocks(store, id, 7)].flatMap((block) =>
        Array.from(block.step, (step, i) => [block.metric, step, block.value[i], block.time[i]]),
      ),
      summaries: store.metrics.summaries(id),
      artifacts: options.artifacts
        ? store.artifacts.ofRun(id).map(({ name, hash, mediaType }) => ({ name, hash, mediaType }))
        : [],
    }
  })
}

// Names that would leave the folder, that are folders of each other, that differ in case, that no file system takes.
const names = [
  "train/loss",
  "../../../escape",
  "a",
  "a/b",
  "A",
  "100 % = ü\u001b[2J",
  "x".repeat(300),
  ".",
  "con/../tricks",
  "",
]
const values = [
  1 / 3,
  0.1 + 0.2,
  Number.NaN,
  Infinity,
  -Infinity,
  5e-324,
  -1.7976931348623157e308,
  0,
  1e21,
  123456789.125,
]

beforeAll(() => {
  using store = openStore(db, { mode: "write" })
  for (const [name, arms] of [
    ["first", ["a", "b"]],
    ["second/../x", ["a"]],
  ] as const) {
    store.experiments.register({
      name,
      question: "why?",
      task: "t",
      taskVersion: 2,
      compare: ["test/acc"],
      baseline: "a",
      spec: { any: ["thing", 1] },
      metrics: { "test/acc": { goal: "max", unit: "ratio", description: "share" }, "train/*": { goal: "min" } },
    })
    const trial = (arm: string, seed: number) => ({
      id: `${arm}${seed}`.padEnd(32, "0"),
      ...{ taskName: "t", taskVersion: 2, seed, arm, condition: `${arm} rank=4` },
      config: { tuner: { rank: 4, name: "lo\nra", deep: null }, list: [1, 2], on: true, arm, rate: 0.1 + 0.2 },
      point: { rank: 4 },
    })
    store.experiments.addTrials(
      name,
      "compare",
      arms.flatMap((arm) => [0, 1].map((seed) => trial(arm, seed))),
    )
    store.experiments.addTrials(name, "tune", [trial(arms[0], 7)], "quick")
  }
  store.experiments.note("first", "of the experiment")
  const run = (trialId: string, state: "completed" | "failed" | "interrupted") => {
    const id = store.runs.start({
      ...{
        trialId: trialId.padEnd(32, "0"),
        device: "cpu",
        host: "here",
        codeHash: "c0de",
        gitCommit: "abc",
        gitDirty: true,
      },
      ...{ packages: { effect: "4" }, environment: { node: "24", cpus: 2 } },
    })
    const writer = store.metricWriter(id)
    for (const [n, name] of names.entries()) {
      for (const [i, value] of values.entries()) writer.log((i - 2) * (n + 1), name, value)
    }
    writer.log(9007199254740991, "test/acc", 0.5)
    writer.close()
    store.runs.transition(id, state, state === "failed" ? { error: { message: "it\nbroke", trial: trialId } } : {})
    return id
  }
  const first = run("a0", "completed")
  store.runs.note(first, "a note\nof two lines")
  store.runs.rename(first, "the: #first 'run'")
  for (const tag of ["good", "seed", "a/../b", "ünicode \u0007"]) store.tags.add("run", first, tag)
  for (const name of ["model.bin", "../../out", "dir/file.txt", "dir"])
    store.artifacts.put(new TextEncoder().encode(`bytes of ${name}`), "text/x-own", name, first)
  run("a1", "failed")
  run("a1", "completed")
  run("b0", "interrupted")
  run("a7", "completed")
  const long = store.runs.start({ trialId: "b1".padEnd(32, "0") })
  const writer = store.metricWriter(long)
  for (let step = 0; step < 10_000; step++) writer.log(step, "long", Math.sin(step), 1_700_000_000_000 + step)
  writer.close()
})

describe.each([
  ["mlflow", true],
  ["tensorboard", false],
] as const)("a round trip through %s", (format, artifacts) => {
  const out = join(folder, `out ${format}`)
  const other = join(folder, `${format}.db`)
  beforeAll(async () => {
    const report = await write(format, out)
    expect(report.runs).toBe(6)
    expect(report.points).toBe(5 * (names.length * values.length + 1) + 10_000)
  })

  it("brings everything back to the last bit", async () => {
    const { runs } = await bring(other, [out])
    expect(runs.map(({ state }) => state)).toEqual(Array(6).fill("imported"))
    using before = openStore(db, { mode: "read" })
    using after = openStore(other, { mode: "read" })
    // A run under way comes as interrupted: nobody there will end it.
    const expected = dump(before, { artifacts }).map((run) => ({
      ...run,
      record: {
        ...run.record,
        run: { ...run.record.run, status: run.record.run.status === "running" ? "interrupted" : run.record.run.status },
      },
    }))
    expect(dump(after, { artifacts })).toEqual(expected)
    const summary = (store: Store) => store.queries.armSummaries("first")
    expect(summary(after)).toEqual(summary(before))
    expect(after.verify()).toEqual([])
  })

  it("changes nothing the second time, and nothing where the runs come from", async () => {
    const again = await bring(other, [out])
    expect(again.runs.map(({ state, points }) => [state, points])).toEqual(Array(6).fill(["known", 0]))
    using before = openStore(db, { mode: "read" })
    const was = dump(before, { artifacts })
    expect((await bring(db, [out])).runs.map(({ state }) => state)).toEqual(Array(6).fill("own"))
    expect(dump(before, { artifacts })).toEqual(was)
  })

  it("overwrites nothing unless told to, and writes nothing outside its folder", async () => {
    const one = filesBelow(out).find((file) => file.endsWith("meta.yaml") || file.includes("tfevents"))!
    const was = statSync(one).mtimeMs
    await expect(write(format, out)).rejects.toThrow(/exists.*nothing was written.*--overwrite/s)
    expect(statSync(one).mtimeMs).toBe(was)
    await write(format, out, { overwrite: true }, ["first"])
    expect(readdirSync(folder).filter((name) => /escape|^out$|tricks/.test(name))).toEqual([])
    expect(filesBelow(out).filter((file) => /\.tmp-|\.exp-/.test(file))).toEqual([])
  })
})

describe("tables", () => {
  it("give the same numbers as CSV, JSON lines and Parquet", async () => {
    for (const to of ["csv", "jsonl", "parquet"] as const) await write(to, join(folder, "tables"), {}, ["1"])
    const readCsvRows = (text: string) => text.trimEnd().split("\n").slice(1)
    const csv = readCsvRows(readFileSync(join(folder, "tables", "metrics.csv"), "utf8"))
    const lines = readFileSync(join(folder, "tables", "metrics.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    const { asyncBufferFromFile, parquetReadObjects } = await import(
      join(root, "packages/cli/node_modules/hyparquet/src/node.js")
    ).catch(() => import(join(root, "node_modules/hyparquet/src/node.js")))
    const file = await asyncBufferFromFile(join(folder, "tables", "metrics.parquet"))
    const parquet = (await parquetReadObjects({ file })) as {
      metric: string
      step: bigint
      value: number
      time: Date
      seed: bigint
    }[]
    using store = openStore(db, { mode: "read" })
    const points = [...pointBlocks(store, 1)].flatMap((b) =>
      Array.from(b.step, (step, i) => [b.metric, step, b.value[i], b.time[i]]),
    )
    expect(parquet.map((row) => [row.metric, Number(row.step), row.value, row.time.getTime()])).toEqual(points)
    expect(lines.map((row) => [row.metric, row.step, Number(row.value), Date.parse(row.time)])).toEqual(points)
    expect(csv.length).toBe(points.length)
    expect(csv.map((line) => Number(line.split(",").at(-2)))).toEqual(points.map((point) => point[2]))
  })

  it("are one file when --out is one, filtered like exp ls, and never replaced silently", async () => {
    const out = join(folder, "table.csv")
    await write("csv", out, { where: ["arm = 'a'"], status: "completed" })
    const [header, ...rows] = readFileSync(out, "utf8").trimEnd().split("\n")
    expect(header).toContain("config.tuner.rank")
    expect(header).toContain("metrics.test/acc")
    expect(rows.filter((row) => /^\d+,/.test(row)).map((row) => row.split(",")[0])).toEqual(["1", "3", "5"])
    await expect(write("csv", out)).rejects.toThrow(/table\.csv exists/)
    await expect(write("csv", join(folder, "none.csv"), { tag: "nobody" })).rejects.toThrow("No runs match")
  })
})

describe("TensorBoard's event files", () => {
  it("have the checksums of RFC 3720", () => {
    const bytes = (n: number, of: (i: number) => number) => Uint8Array.from({ length: n }, (_, i) => of(i))
    expect(crc32c(bytes(32, () => 0)).toString(16)).toBe("8a9136aa")
    expect(crc32c(bytes(32, () => 255)).toString(16)).toBe("62a8ab43")
    expect(crc32c(bytes(32, (i) => i)).toString(16)).toBe("46dd794e")
    expect(crc32c(bytes(32, (i) => 31 - i)).toString(16)).toBe("113fdb5c")
    expect(crc32c(new TextEncoder().encode("123456789")).toString(16)).toBe("e3069283")
  })

  it("of PyTorch are read: both forms of scalars, hyper-parameters of the folder below", async () => {
    const other = join(folder, "torch.db")
    const { runs } = await bring(other, [join(root, "test", "fixtures", "torch-events")])
    expect(runs.map(({ name, experiment, points }) => [name, experiment, points])).toEqual([
      ["run1", "torch-events", 7],
    ])
    using store = openStore(other, { mode: "read" })
    const { step, value } = store.metrics.points(1, "train/loss")
    expect([...step]).toEqual([0, 1, 2, 3, 4])
    expect([...value]).toEqual([1, 2, 3, 4, 5].map((n) => Math.fround(1 / n)))
    expect([...store.metrics.points(1, "acc").value]).toEqual([Math.fround(0.1)])
    expect(store.trials.get(store.runs.get(1)!.trialId)!.config).toMatchObject({ lr: 0.1, bsize: 32, opt: "adam" })
    expect(store.queries.runs({ where: [{ name: "lr", comparison: "=", value: 0.1 }] }).length).toBe(1)
    expect(store.runs.get(1)!.environment).toMatchObject({ origin: { format: "tensorboard", id: "torch-events/run1" } })
  })

  it("that are cut, damaged or no event files give what can be read and say the rest", async () => {
    const out = join(folder, "events")
    await write("tensorboard", out, {}, ["1"])
    const [file] = filesBelow(out)
    const whole = readFileSync(file!)
    const total = names.length * values.length + 1
    let imported = 0
    for (const [i, cut] of [whole.length - 1, whole.length - 500, 9000].entries()) {
      const copy = join(folder, `cut${i}`)
      cpSync(out, copy, { recursive: true })
      truncateSync(filesBelow(copy)[0]!, cut)
      const { runs } = await bring(join(folder, `cut${i}.db`), [copy])
      expect(runs[0]!.problems.join()).toMatch(/ends within record \d+, at byte \d+/)
      imported = runs[0]!.points
      expect(imported).toBeGreaterThan(0)
      expect(imported).toBeLessThan(total)
    }
    const damaged = join(folder, "damaged")
    cpSync(out, damaged, { recursive: true })
    const bytes = Buffer.from(whole)
    bytes[whole.length - 20]! ^= 1
    writeFileSync(filesBelow(damaged)[0]!, bytes)
    const { runs } = await bring(join(folder, "damaged.db"), [damaged])
    expect(runs[0]!.problems.join()).toMatch(/its checksum does not match/)
    expect(runs[0]!.points).toBe(total - 1)

    const garbage = join(folder, "garbage")
    mkdirSync(join(garbage, "run"), { recursive: true })
    writeFileSync(join(garbage, "run", "events.out.tfevents.1.x"), "this is no event file at all, only text")
    writeFileSync(join(garbage, "events.out.tfevents.2.x"), "")
    const nothing = await bring(join(folder, "garbage.db"), [garbage])
    expect(nothing.runs.map(({ state }) => state)).toEqual(["unreadable", "unreadable"])
    expect(nothing.stderr).toMatch(/it is no event file/)
    expect(nothing.stderr).toMatch(/it is empty/)
  })

  it("that grow bring the new points, and nothing twice", async () => {
    const out = join(folder, "growing")
    cpSync(join(root, "test", "fixtures", "torch-events"), out, { recursive: true })
    const file = filesBelow(join(out, "run1")).find((path) => !path.includes("318"))!
    const whole = readFileSync(file)
    truncateSync(file, 250)
    const other = join(folder, "growing.db")
    const before = (await bring(other, [out])).runs[0]!
    writeFileSync(file, whole)
    const after = (await bring(other, [out])).runs[0]!
    expect([before.state, after.state, after.run]).toEqual(["imported", "updated", before.run])
    expect(before.points).toBeLessThan(after.points)
    using store = openStore(other, { mode: "read" })
    expect(store.metrics.summaries(1).find(({ metric }) => metric === "train/loss")!.count).toBe(5)
  })

  const python = "/usr/bin/python3"
  const hasProtobuf = spawnSync(python, ["-c", "import google.protobuf"]).status === 0
  it.skipIf(!hasProtobuf)("are read alike by Google's own decoder", async () => {
    const out = join(folder, "for-python")
    await write("tensorboard", out, {}, ["4"])
    const said = execFileSync(python, [join(root, "test", "fixtures", "read-events.py"), filesBelow(out)[0]!], {
      encoding: "utf8",
    })
    const { version, scalars, hparams } = JSON.parse(said) as {
      version: string
      scalars: [string, number, string, number][]
      hparams: string[]
    }
    expect(version).toBe("brain.Event:2")
    expect(hparams).toContain("rate")
    using store = openStore(db, { mode: "read" })
    const points = [...pointBlocks(store, 4)].flatMap((b) =>
      Array.from(b.step, (step, i) => {
        const bits = Buffer.alloc(8)
        bits.writeDoubleBE(b.value[i]!)
        return [b.metric, step, Number.isNaN(b.value[i]) ? "nan" : bits.toString("hex"), b.time[i]]
      }),
    )
    expect(scalars).toEqual(points)
  })
})

describe("imported runs without a metric of known direction", () => {
  it("are shown all the same", async () => {
    const chart = join(folder, "unknown.csv")
    writeFileSync(chart, "Step,one - zorp,two - zorp\n0,1,2\n")
    const other = join(folder, "unknown.db")
    expect((await bring(other, [chart], { experiment: "odd" })).stderr).toContain(
      "no metric of odd has a known direction",
    )
    const shown = await captured(() => showCommand("odd", { db: other, json: false }))
    expect(shown.stdout).toContain("odd compares no metric")
    await bring(other, [chart], { experiment: "odd", compare: "zorp", goal: "max" })
    using store = openStore(other, { mode: "read" })
    expect(store.experiments.get("odd")!.compare).toBe('["zorp"]')
    expect(store.metrics.names().find(({ name }) => name === "zorp")!.goal).toBe("max")
  })
})

describe("MLflow's file stores", () => {
  const store = join(folder, "project", "mlruns")
  const put = (path: string, text: string) => {
    mkdirSync(join(store, path, ".."), { recursive: true })
    writeFileSync(join(store, path), text)
  }
  // As its own writer (PyYAML) puts them: unquoted where YAML allows it.
  const meta = (id: string, more = "") =>
    `artifact_uri: file:///elsewhere/${id}/artifacts\nend_time: 1700000050000\nentry_point_name: ''\nexperiment_id: '1'\nlifecycle_stage: active\nrun_id: ${id}\nrun_name: bold-fox-${id}\nrun_uuid: ${id}\nsource_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: 1700000000000\nstatus: 3\ntags: []\nuser_id: me\n${more}`
  beforeAll(() => {
    put(
      "1/meta.yaml",
      "artifact_location: file:///elsewhere/1\ncreation_time: 1\nexperiment_id: '1'\nlast_update_time: 2\nlifecycle_stage: active\nname: 'it''s: an experiment'\n",
    )
    for (const [id, rate, seed] of [
      ["r1", "0.1", "0"],
      ["r2", "0.1", "1"],
      ["r3", "1e-05", "0"],
    ] as const) {
      put(`1/${id}/meta.yaml`, meta(id))
      put(`1/${id}/params/lr`, rate)
      put(`1/${id}/params/seed`, seed)
      put(`1/${id}/params/opt/name`, "adam")
      put(`1/${id}/metrics/test/accuracy`, `1700000001000 0.${id[1]} 0\n1700000002000 0.9${id[1]} 10\n`)
      put(`1/${id}/tags/mlflow.user`, "me")
      put(`1/${id}/tags/team`, "blue")
      put(`1/${id}/artifacts/model/weights.bin`, `weights of ${id}`)
    }
    put("1/r1/metrics/nostep", "1700000001000 1 0\n1700000002000 2 0\n1700000003000 nan 0\n1700000004000 -inf 0\n")
    put(
      "1/r1/metrics/bad",
      "1700000001000 1 0\nrubbish\n1700000002000 1e400x 1\n1700000003000 3 1\n1700000004000 4 1\n",
    )
    put("1/r1/tags/mlflow.note.content", "looks fine")
    put("1/r4/meta.yaml", meta("r4").replace("lifecycle_stage: active", "lifecycle_stage: deleted"))
    put("1/r5/meta.yaml", "{{{ not yaml")
    put("1/r6/metrics/loss", "1 2 3\n")
    put("1/r7/meta.yaml", meta("r7").replace("status: 3", "status: 1"))
    put("1/r7/params/lr", "0.1")
    put("1/r7/params/opt/name", "adam")
    put("2/meta.yaml", "not: an experiment\n")
  })

  it("come with params, metrics, tags, notes, artifacts and origin; what cannot be read is said", async () => {
    const other = join(folder, "mlflow-foreign.db")
    const { runs, stderr } = await bring(other, [join(folder, "project")])
    const states = Object.fromEntries(runs.map(({ name, state }) => [name ?? "?", state]))
    expect(states).toMatchObject({
      "bold-fox-r1": "imported",
      "bold-fox-r2": "imported",
      "bold-fox-r7": "imported",
      "?": "unreadable",
    })
    expect(stderr).toMatch(/r4.*deleted in MLflow/)
    expect(stderr).toMatch(/r5.*no YAML|r5.*holds no fields/)
    expect(stderr).toMatch(/1\/r6: it has no meta\.yaml/)
    const problems = runs.find(({ name }) => name === "bold-fox-r1")!.problems.join("\n")
    expect(problems).toContain("nostep: its 4 values were logged without a step: numbered from 0")
    expect(problems).toContain("bad: line 2, 3: not")
    expect(problems).toContain("bad: 1 lines are of a step that came before")
    using store = openStore(other, { mode: "read" })
    const [first] = store.queries.runs({ where: [{ name: "name", comparison: "=", value: "bold-fox-r1" }] })
    expect(first).toMatchObject({
      experiment: "it's: an experiment",
      condition: "lr=0.1",
      ...{ seed: 0, status: "completed", note: "looks fine", tags: ["team=blue"], createdAt: 1700000000000 },
      config: { lr: 0.1, seed: 0, "opt/name": "adam" },
    })
    expect([...store.metrics.points(first!.id, "nostep").value]).toEqual([1, 2, Number.NaN, -Infinity])
    expect([...store.metrics.points(first!.id, "bad").value]).toEqual([1, 4])
    expect(new TextDecoder().decode(store.artifacts.get(store.artifacts.ofRun(first!.id)[0]!.hash))).toBe(
      "weights of r1",
    )
    expect(store.runs.get(first!.id)!.environment).toMatchObject({ origin: { format: "mlflow", id: "r1" } })
    // Runs that differ in the seed alone are one arm, and the test metric is what is compared.
    expect(
      store.queries.armSummaries("it's: an experiment", { metric: "test/accuracy" }).map(({ arm, n }) => [arm, n]),
    ).toEqual([
      ["lr=0.00001", 1],
      ["lr=0.1", 2],
    ])
    expect(JSON.parse(String(store.experiments.get("it's: an experiment")!.compare))).toEqual(["test/accuracy"])
    expect(store.runs.get(runs.find(({ name }) => name === "bold-fox-r7")!.run!)!.status).toBe("interrupted")
  })

  it("bring what is new when they have grown", async () => {
    const other = join(folder, "mlflow-foreign.db")
    appendFileSync(join(store, "1/r2/metrics/test/accuracy"), "1700000003000 0.99 20\n")
    const { runs } = await bring(other, [store])
    expect(runs.filter(({ state }) => state !== "unreadable").map(({ name, state }) => [name, state])).toEqual([
      ["bold-fox-r1", "known"],
      ["bold-fox-r2", "updated"],
      ["bold-fox-r3", "known"],
      ["bold-fox-r7", "known"],
    ])
  })
})

describe("CSV exports of Weights & Biases", () => {
  it("of charts, the table of runs and a history come together by the name of the run", async () => {
    const csv = (name: string, text: string) => {
      const path = join(folder, name)
      writeFileSync(path, text)
      return path
    }
    const chart = csv(
      "chart.csv",
      `"Step","run - a - val/loss","run - a - val/loss__MIN","run - a - val/loss__MAX","b - val/loss"\n0,1.5,1.5,1.5,\n1,NaN,,,0.25\nx,1,1,1,1\n2,Infinity,,,oops\n`,
    )
    const table = csv(
      "table.csv",
      `"Name","State","Notes","User","Tags","Created","Runtime","Sweep","lr","seed","layers","val/loss","accuracy"\n"run - a","finished","a note","me","x, y","2026-01-02T03:04:05.000Z","60","","0.1","1","[1,2]","0.5","0.9"\n"b","crashed","-","me","","2026-01-02T03:04:06.000Z","","","0.2","1","[1,2]","0.25",""\n`,
    )
    const history = csv(
      "b.csv",
      `,_step,_timestamp,_runtime,train/loss\n0,0,1700000000.5,1.0,3.0\n1,10,1700000001.5,2.0,\n2,20,1700000002.5,2.0,1e-3\n`,
    )
    const other = join(folder, "wandb.db")
    const first = await bring(other, [chart])
    expect(first.stderr).toMatch(/line 4: Step is no whole number/)
    expect(first.stderr).toMatch(/line 5: a cell is no number/)
    await bring(other, [table])
    await bring(other, [history])
    const again = await bring(other, [chart, table, history])
    expect(again.runs.every(({ state }) => state === "updated" || state === "known")).toBe(true)
    using store = openStore(other, { mode: "read" })
    const runs = store.queries.runs({ experiment: "wandb" })
    expect(runs.map(({ name, status, condition, seed }) => [name, status, condition, seed])).toEqual([
      ["b", "failed", "lr=0.2", 1],
      ["run - a", "completed", "lr=0.1", 1],
    ])
    expect(runs[1]).toMatchObject({ note: "a note", tags: ["x", "y"], config: { lr: 0.1, seed: 1, layers: "[1,2]" } })
    const of = (run: number, metric: string) => [...store.metrics.points(run, metric).value]
    expect(of(runs[1]!.id, "accuracy")).toEqual([0.9])
    expect(of(runs[1]!.id, "val/loss").slice(1)).toEqual([Number.NaN, Infinity])
    const { step, value, time } = store.metrics.points(runs[0]!.id, "train/loss")
    expect([[...step], [...value], [...time]]).toEqual([
      [0, 20],
      [3, 0.001],
      [1700000000500, 1700000002500],
    ])
  })
})
