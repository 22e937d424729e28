/**
 * The tables of runs.db, declared once in Drizzle. The SQL migrations under `drizzle/` are generated from this file
 * (`npm run generate -w @exp/store`), and row types everywhere else are inferred from it.
 *
 * Drizzle cannot say STRICT or WITHOUT ROWID: {@link withoutRowid} names the tables that are clustered by their primary
 * key, and the generator adds both words. A test compares the live database with this declaration, column by column.
 *
 * Conventions: times are integer milliseconds since 1970 (UTC); JSON is text; in `metrics.value`,
 * `metric_summaries` and `sample_results.value` NULL means NaN (SQLite has no NaN), infinities are stored as they are. The sign of zero is not
 * kept.
 */
import { sql } from "drizzle-orm"
import {
  check,
  customType,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core"
import { runStates, stageStates } from "./states.ts"

/** A column that keeps the storage class of what it is given (STRICT tables allow `ANY`). */
const any = customType<{ data: string | number | null }>({ dataType: () => "any" })

const oneOf = (column: string, values: readonly string[]) =>
  sql.raw(`"${column}" IN (${values.map((v) => `'${v}'`).join(", ")})`)

export const experiments = sqliteTable("experiments", {
  id: integer("id").primaryKey(),
  name: text("name").notNull().unique(),
  question: text("question"),
  task: text("task").notNull(),
  taskVersion: integer("task_version").notNull(),
  compare: text("compare").notNull().default("[]"),
  baseline: text("baseline"),
  spec: text("spec").notNull().default("{}"),
  file: text("file"),
  note: text("note"),
  createdAt: integer("created_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
  cancelRequestedAt: integer("cancel_requested_at"),
  deletedAt: integer("deleted_at"),
})

export const trials = sqliteTable("trials", {
  row: integer("row").primaryKey(),
  id: text("id").notNull().unique(),
  task: text("task").notNull(),
  taskVersion: integer("task_version").notNull(),
  config: text("config").notNull(),
  seed: integer("seed").notNull(),
  createdAt: integer("created_at").notNull(),
})

export const configPaths = sqliteTable("config_paths", {
  id: integer("id").primaryKey(),
  path: text("path").notNull().unique(),
})

export const configValues = sqliteTable(
  "config_values",
  {
    trialRow: integer("trial_row")
      .notNull()
      .references(() => trials.row, { onDelete: "cascade" }),
    pathId: integer("path_id")
      .notNull()
      .references(() => configPaths.id),
    value: any("value"),
  },
  (t) => [primaryKey({ columns: [t.trialRow, t.pathId] }), index("config_values_by_value").on(t.pathId, t.value)],
)

export const experimentTrials = sqliteTable(
  "experiment_trials",
  {
    experimentId: integer("experiment_id")
      .notNull()
      .references(() => experiments.id, { onDelete: "cascade" }),
    profile: text("profile").notNull().default("default"),
    phase: text("phase", { enum: ["tune", "compare"] }).notNull(),
    arm: text("arm").notNull(),
    condition: text("condition").notNull().default(""),
    trialId: text("trial_id")
      .notNull()
      .references(() => trials.id),
    position: integer("position").notNull(),
    point: text("point").notNull().default("{}"),
    current: integer("current").notNull().default(1),
  },
  (t) => [
    primaryKey({ columns: [t.experimentId, t.profile, t.phase, t.arm, t.condition, t.trialId] }),
    index("experiment_trials_by_trial").on(t.trialId),
    check("experiment_trials_phase", oneOf("phase", ["tune", "compare"])),
  ],
)

export const selections = sqliteTable(
  "selections",
  {
    experimentId: integer("experiment_id")
      .notNull()
      .references(() => experiments.id, { onDelete: "cascade" }),
    profile: text("profile").notNull().default("default"),
    arm: text("arm").notNull(),
    condition: text("condition").notNull().default(""),
    metric: text("metric").notNull(),
    choice: text("choice").notNull(),
    candidates: text("candidates").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.experimentId, t.profile, t.arm, t.condition] })],
)

export const runs = sqliteTable(
  "runs",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    trialId: text("trial_id")
      .notNull()
      .references(() => trials.id),
    attempt: integer("attempt").notNull(),
    status: text("status", { enum: runStates }).notNull(),
    name: text("name"),
    note: text("note"),
    device: text("device"),
    host: text("host"),
    pid: integer("pid"),
    owner: text("owner"),
    createdAt: integer("created_at").notNull(),
    startedAt: integer("started_at"),
    finishedAt: integer("finished_at"),
    heartbeatAt: integer("heartbeat_at"),
    leaseExpiresAt: integer("lease_expires_at"),
    cancelRequestedAt: integer("cancel_requested_at"),
    progressDone: real("progress_done"),
    progressTotal: real("progress_total"),
    error: text("error"),
    codeHash: text("code_hash"),
    gitCommit: text("git_commit"),
    gitDirty: integer("git_dirty"),
    packages: text("packages"),
    environment: text("environment"),
    deletedAt: integer("deleted_at"),
  },
  (t) => [
    uniqueIndex("runs_by_trial").on(t.trialId, t.attempt),
    // The last word on ownership: whatever the programs do, a trial has at most one live run.
    uniqueIndex("runs_one_live_per_trial").on(t.trialId).where(sql`status IN ('queued', 'running')`),
    index("runs_by_status").on(t.status),
    check("runs_status", oneOf("status", runStates)),
  ],
)

export const metricNames = sqliteTable(
  "metric_names",
  {
    id: integer("id").primaryKey(),
    name: text("name").notNull().unique(),
    goal: text("goal", { enum: ["max", "min"] }),
    unit: text("unit"),
    description: text("description"),
  },
  () => [check("metric_names_goal", oneOf("goal", ["max", "min"]))],
)

/**
 * One row a logged value. No foreign keys here: they would cost two look-ups a row on the hottest path. The summary of
 * the same run and metric is written in the same transaction and does have them, so no orphan can be committed.
 */
export const metrics = sqliteTable(
  "metrics",
  {
    runId: integer("run_id").notNull(),
    metricId: integer("metric_id").notNull(),
    step: integer("step").notNull(),
    value: real("value"),
    time: integer("time").notNull(),
  },
  (t) => [primaryKey({ columns: [t.runId, t.metricId, t.step] })],
)

export const metricSummaries = sqliteTable(
  "metric_summaries",
  {
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    metricId: integer("metric_id")
      .notNull()
      .references(() => metricNames.id),
    count: integer("count").notNull(),
    nanCount: integer("nan_count").notNull(),
    firstStep: integer("first_step").notNull(),
    first: real("first"),
    lastStep: integer("last_step").notNull(),
    last: real("last"),
    min: real("min"),
    max: real("max"),
    blockShift: integer("block_shift"),
  },
  (t) => [primaryKey({ columns: [t.runId, t.metricId] })],
)

/** Aggregates of `2^block_shift` steps each, kept for long series only, so that a chart never scans a million rows. */
export const metricBlocks = sqliteTable(
  "metric_blocks",
  {
    runId: integer("run_id").notNull(),
    metricId: integer("metric_id").notNull(),
    block: integer("block").notNull(),
    count: integer("count").notNull(),
    nanCount: integer("nan_count").notNull(),
    firstStep: integer("first_step").notNull(),
    first: real("first"),
    lastStep: integer("last_step").notNull(),
    last: real("last"),
    min: real("min"),
    max: real("max"),
    sum: real("sum"),
  },
  (t) => [primaryKey({ columns: [t.runId, t.metricId, t.block] })],
)

export const datasets = sqliteTable("datasets", {
  id: integer("id").primaryKey(),
  name: text("name").notNull().unique(),
})

export const samples = sqliteTable(
  "samples",
  {
    id: integer("id").primaryKey(),
    datasetId: integer("dataset_id")
      .notNull()
      .references(() => datasets.id),
    key: text("key").notNull(),
    tags: text("tags").notNull().default("{}"),
    text: text("text"),
  },
  (t) => [uniqueIndex("samples_by_key").on(t.datasetId, t.key)],
)

export const sampleTags = sqliteTable(
  "sample_tags",
  {
    sampleId: integer("sample_id")
      .notNull()
      .references(() => samples.id, { onDelete: "cascade" }),
    tag: text("tag").notNull(),
    value: any("value"),
  },
  (t) => [primaryKey({ columns: [t.sampleId, t.tag] }), index("sample_tags_by_value").on(t.tag, t.value)],
)

export const competitors = sqliteTable("competitors", {
  id: integer("id").primaryKey(),
  runId: integer("run_id")
    .unique()
    .references(() => runs.id, { onDelete: "cascade" }),
  name: text("name").unique(),
  createdAt: integer("created_at").notNull(),
})

export const sampleResults = sqliteTable(
  "sample_results",
  {
    competitorId: integer("competitor_id").notNull(),
    metricId: integer("metric_id").notNull(),
    sampleId: integer("sample_id").notNull(),
    value: real("value"),
  },
  (t) => [primaryKey({ columns: [t.competitorId, t.metricId, t.sampleId] })],
)

export const imports = sqliteTable("imports", {
  id: integer("id").primaryKey(),
  contentHash: text("content_hash").notNull().unique(),
  source: text("source").notNull(),
  rows: integer("rows").notNull().default(0),
  createdAt: integer("created_at").notNull(),
})

export const votes = sqliteTable(
  "votes",
  {
    id: integer("id").primaryKey(),
    importId: integer("import_id").references(() => imports.id, { onDelete: "cascade" }),
    leftId: integer("left_id")
      .notNull()
      .references(() => competitors.id),
    rightId: integer("right_id")
      .notNull()
      .references(() => competitors.id),
    winner: text("winner", { enum: ["left", "right", "tie"] }).notNull(),
    tags: text("tags").notNull().default("{}"),
  },
  () => [check("votes_winner", oneOf("winner", ["left", "right", "tie"]))],
)

export const artifacts = sqliteTable("artifacts", {
  hash: text("hash").primaryKey(),
  size: integer("size").notNull(),
  mediaType: text("media_type").notNull(),
  createdAt: integer("created_at").notNull(),
})

export const runArtifacts = sqliteTable(
  "run_artifacts",
  {
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    name: text("name").notNull(),
    hash: text("hash")
      .notNull()
      .references(() => artifacts.hash),
    createdAt: integer("created_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.runId, t.name] }), index("run_artifacts_by_hash").on(t.hash)],
)

export const checkpoints = sqliteTable(
  "checkpoints",
  {
    id: integer("id").primaryKey(),
    trialId: text("trial_id")
      .notNull()
      .references(() => trials.id),
    runId: integer("run_id").references(() => runs.id, { onDelete: "set null" }),
    step: integer("step").notNull(),
    hash: text("hash")
      .notNull()
      .references(() => artifacts.hash),
    createdAt: integer("created_at").notNull(),
  },
  (t) => [uniqueIndex("checkpoints_by_step").on(t.trialId, t.step), index("checkpoints_by_hash").on(t.hash)],
)

export const logs = sqliteTable(
  "logs",
  {
    id: integer("id").primaryKey(),
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    time: integer("time").notNull(),
    level: text("level", { enum: ["debug", "info", "warn", "error", "stdout", "stderr"] }).notNull(),
    message: text("message").notNull(),
    fields: text("fields"),
  },
  (t) => [
    index("logs_by_run").on(t.runId),
    check("logs_level", oneOf("level", ["debug", "info", "warn", "error", "stdout", "stderr"])),
  ],
)

export const stages = sqliteTable(
  "stages",
  {
    key: text("key").primaryKey(),
    name: text("name").notNull(),
    version: integer("version").notNull(),
    config: text("config").notNull(),
    status: text("status", { enum: stageStates }).notNull(),
    owner: text("owner"),
    leaseExpiresAt: integer("lease_expires_at"),
    hash: text("hash").references(() => artifacts.hash),
    checkpointStep: integer("checkpoint_step"),
    checkpointHash: text("checkpoint_hash").references(() => artifacts.hash),
    error: text("error"),
    startedAt: integer("started_at").notNull(),
    finishedAt: integer("finished_at"),
  },
  () => [check("stages_status", oneOf("status", stageStates))],
)

export const runStages = sqliteTable(
  "run_stages",
  {
    runId: integer("run_id")
      .notNull()
      .references(() => runs.id, { onDelete: "cascade" }),
    stageKey: text("stage_key")
      .notNull()
      .references(() => stages.key),
  },
  (t) => [primaryKey({ columns: [t.runId, t.stageKey] }), index("run_stages_by_stage").on(t.stageKey)],
)

export const tags = sqliteTable(
  "tags",
  {
    kind: text("kind", { enum: ["experiment", "trial", "run"] }).notNull(),
    target: text("target").notNull(),
    tag: text("tag").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.kind, t.target, t.tag] }),
    index("tags_by_tag").on(t.tag, t.kind),
    check("tags_kind", oneOf("kind", ["experiment", "trial", "run"])),
  ],
)

/** Tables clustered by their primary key. */
export const withoutRowid: readonly string[] = [
  "config_values",
  "experiment_trials",
  "selections",
  "metrics",
  "metric_summaries",
  "metric_blocks",
  "sample_tags",
  "sample_results",
  "run_artifacts",
  "run_stages",
  "tags",
]
