/**
 * The SQL reference: what a user may rely on in runs.db, as data and as markdown. A test holds it against the live
 * database: every table and view is here or declared internal, with every column.
 */

export interface Relation {
  readonly kind: "view" | "table"
  readonly about: string
  readonly columns: Readonly<Record<string, string>>
}

const where = {
  experiment: "name of the experiment",
  profile: "`default`, or the profile it was run under, such as `quick`",
  phase: "`tune` or `compare`",
  arm: "arm of the experiment",
  condition: "arm and sweep point",
  seed: "seed of the trial",
} as const

const recordedAt = "ms since 1970"

/** Views first: they are the surface for everyday questions. */
export const relations: Readonly<Record<string, Relation>> = {
  run_overview: {
    kind: "view",
    about: "One row a run and place in an experiment (a trial that two experiments share appears in both).",
    columns: {
      run_id: "number of the run",
      ...where,
      status: "`queued`, `running`, `completed`, `failed`, `cancelled`, `interrupted`",
      lost: "1 when it is queued or running and nobody has renewed its lease in time",
      attempt: "1 for the first run of its trial",
      name: "name that a user gave it",
      device: "device it ran on",
      host: "machine it ran on",
      created: "date and time (UTC)",
      started: "date and time (UTC)",
      finished: "date and time (UTC)",
      seconds: "from its start to its end or last sign of life",
      progress: "0 … 1",
      error: "message of what went wrong",
      git_commit: "commit of the code",
      git_dirty: "1 when there were uncommitted changes",
      code_hash: "hash of the experiment file and its local imports",
      trial_id: "hash of task, version, config and seed",
      task: "name of the task",
      task_version: "version of the task",
      config: "the resolved config (JSON): `config ->> '$.tuner.rank'`",
      note: "note that a user gave it",
    },
  },
  final_metrics: {
    kind: "view",
    about: "The last value of every metric of every run.",
    columns: {
      run_id: "number of the run",
      ...where,
      status: "state of the run",
      counts: "1 for the latest completed run of a trial of the present plan: what summaries are made of",
      metric: "name of the metric",
      value: "last value; NULL means NaN",
      unit: "unit of the metric",
      goal: "`max` or `min`",
      step: "step of the value",
      count: "number of values recorded",
    },
  },
  best_metrics: {
    kind: "view",
    about: "The best value of every metric of every run, by the metric's goal.",
    columns: {
      run_id: "number of the run",
      ...where,
      status: "state of the run",
      metric: "name of the metric",
      value: "maximum or minimum by the goal; NULL without a goal or when all values are NaN",
      unit: "unit of the metric",
      goal: "`max` or `min`",
      min: "smallest value, NaN left out",
      max: "largest value, NaN left out",
      count: "number of values recorded",
      nan_count: "how many of them are NaN",
    },
  },
  arm_summary: {
    kind: "view",
    about: "Final values over the seeds of each arm: the compared trials that count.",
    columns: {
      experiment: where.experiment,
      profile: where.profile,
      arm: where.arm,
      condition: where.condition,
      metric: "name of the metric",
      n: "seeds with a finite value",
      mean: "mean over these seeds",
      sd: "sample standard deviation (n − 1); NULL below two seeds",
      low: "lower end of the 95 % t interval of the mean",
      high: "upper end",
      min: "smallest",
      max: "largest",
      diverged: "seeds that ended in NaN or infinity: not in the mean",
      unit: "unit of the metric",
      goal: "`max` or `min`",
    },
  },
  leaderboard: {
    kind: "view",
    about: "Arms by their mean in the first compared metric. A rank is not a finding: look at the intervals.",
    columns: {
      experiment: where.experiment,
      profile: where.profile,
      metric: "the compared metric",
      rank: "1 is the best mean; ties share a rank",
      arm: where.arm,
      condition: where.condition,
      n: "seeds with a finite value",
      mean: "mean over these seeds",
      low: "lower end of the 95 % t interval",
      high: "upper end",
      diverged: "seeds that ended in NaN or infinity",
      unit: "unit of the metric",
      goal: "`max` or `min`",
    },
  },
  experiments: {
    kind: "table",
    about: "What was declared.",
    columns: {
      id: "number",
      name: "name",
      question: "the question it asks",
      task: "task",
      task_version: "version of the task",
      compare: "compared metrics (JSON list), the first is ranked",
      baseline: "arm that others are compared with",
      spec: "the declaration (JSON)",
      file: "file it was declared in",
      note: "note",
      created_at: recordedAt,
      updated_at: recordedAt,
      cancel_requested_at: "when somebody asked to stop it, ms since 1970",
      deleted_at: "when it was removed from lists, ms since 1970",
    },
  },
  trials: {
    kind: "table",
    about: "Resolved config and seed under a content hash.",
    columns: {
      row: "number",
      id: "hash of task, version, config and seed",
      task: "task",
      task_version: "version of the task",
      config: "resolved config (JSON)",
      seed: "seed",
      created_at: recordedAt,
    },
  },
  experiment_trials: {
    kind: "table",
    about: "Which trials an experiment consists of.",
    columns: {
      experiment_id: "→ experiments.id",
      profile: where.profile,
      phase: where.phase,
      arm: where.arm,
      condition: where.condition,
      trial_id: "→ trials.id",
      position: "place in the plan",
      point: "sweep point (JSON)",
      current: "1 when in the present plan, 0 when in an earlier one only",
    },
  },
  selections: {
    kind: "table",
    about: "What tuning chose for each arm.",
    columns: {
      experiment_id: "→ experiments.id",
      profile: where.profile,
      arm: where.arm,
      condition: where.condition,
      metric: "metric that decided",
      choice: "chosen point (JSON)",
      candidates: "all points with their scores (JSON)",
      created_at: recordedAt,
    },
  },
  runs: {
    kind: "table",
    about: "Attempts to execute a trial.",
    columns: {
      id: "number",
      trial_id: "→ trials.id",
      attempt: "1, 2, …",
      status: "state",
      name: "name",
      note: "note",
      device: "device",
      host: "machine",
      pid: "process",
      owner: "coordinator that holds it",
      created_at: recordedAt,
      started_at: recordedAt,
      finished_at: recordedAt,
      heartbeat_at: "last sign of life, ms since 1970",
      lease_expires_at: "until when the owner has it for sure, ms since 1970",
      cancel_requested_at: "when somebody asked to stop it, ms since 1970",
      progress_done: "work done",
      progress_total: "work in all",
      error: "what went wrong (JSON)",
      code_hash: "hash of the code",
      git_commit: "commit",
      git_dirty: "1 with uncommitted changes",
      packages: "package versions (JSON)",
      environment: "environment (JSON)",
      deleted_at: "when it was removed from lists, ms since 1970",
    },
  },
  metric_names: {
    kind: "table",
    about: "Metrics and what is known of them. A name that ends in `*` is a declaration for many.",
    columns: { id: "number", name: "name", goal: "`max` or `min`", unit: "unit", description: "description" },
  },
  metrics: {
    kind: "table",
    about: "Every logged value. Large: ask by run and metric.",
    columns: {
      run_id: "→ runs.id",
      metric_id: "→ metric_names.id",
      step: "step",
      value: "value; NULL means NaN",
      time: recordedAt,
    },
  },
  metric_summaries: {
    kind: "table",
    about: "One row a run and metric, kept with every write.",
    columns: {
      run_id: "→ runs.id",
      metric_id: "→ metric_names.id",
      count: "number of values",
      nan_count: "how many are NaN",
      first_step: "lowest step",
      first: "its value",
      last_step: "highest step",
      last: "its value",
      min: "smallest, NaN left out",
      max: "largest, NaN left out",
      block_shift: "internal: width of its blocks",
    },
  },
  datasets: { kind: "table", about: "Data sets that samples belong to.", columns: { id: "number", name: "name" } },
  samples: {
    kind: "table",
    about:
      "Samples that results are about. Full-text search: `SELECT rowid FROM samples_text WHERE samples_text MATCH 'boots' ORDER BY rank`.",
    columns: {
      id: "number",
      dataset_id: "→ datasets.id",
      key: "name of the sample in its data set",
      tags: "tags (JSON)",
      text: "text",
    },
  },
  sample_tags: {
    kind: "table",
    about: "The tags of samples, one a row.",
    columns: { sample_id: "→ samples.id", tag: "name", value: "value" },
  },
  competitors: {
    kind: "table",
    about: "Who has results on samples: runs, and imported models.",
    columns: {
      id: "number",
      run_id: "→ runs.id, for a run",
      name: "name, for an imported one",
      created_at: recordedAt,
    },
  },
  sample_results: {
    kind: "table",
    about: "One measurement of one competitor on one sample.",
    columns: {
      competitor_id: "→ competitors.id",
      metric_id: "→ metric_names.id",
      sample_id: "→ samples.id",
      value: "value; NULL means NaN",
    },
  },
  votes: {
    kind: "table",
    about: "Imported pairwise votes.",
    columns: {
      id: "number",
      import_id: "→ imports.id",
      left_id: "→ competitors.id",
      right_id: "→ competitors.id",
      winner: "`left`, `right` or `tie`",
      tags: "tags (JSON)",
    },
  },
  artifacts: {
    kind: "table",
    about: "Files kept beside the database, by SHA-256: `runs.db-artifacts/ab/cdef…`.",
    columns: { hash: "SHA-256", size: "bytes", media_type: "media type", created_at: recordedAt },
  },
  run_artifacts: {
    kind: "table",
    about: "Which run has listed which artifact.",
    columns: { run_id: "→ runs.id", name: "name", hash: "→ artifacts.hash", created_at: recordedAt },
  },
  checkpoints: {
    kind: "table",
    about: "What a trial resumes from.",
    columns: {
      id: "number",
      trial_id: "→ trials.id",
      run_id: "→ runs.id",
      step: "step",
      hash: "→ artifacts.hash",
      created_at: recordedAt,
    },
  },
  logs: {
    kind: "table",
    about: "Log lines and output of runs.",
    columns: {
      id: "number, rising",
      run_id: "→ runs.id",
      time: recordedAt,
      level: "`debug`, `info`, `warn`, `error`, `stdout`, `stderr`",
      message: "the line",
      fields: "fields (JSON)",
    },
  },
  stages: {
    kind: "table",
    about: "Memoised computations that trials share.",
    columns: {
      key: "hash of name, version and config",
      name: "name",
      version: "version",
      config: "config (JSON)",
      status: "`running`, `completed`, `failed`",
      owner: "who computes it",
      lease_expires_at: "until when for sure, ms since 1970",
      hash: "result → artifacts.hash",
      checkpoint_step: "how far it is",
      checkpoint_hash: "→ artifacts.hash",
      error: "what went wrong (JSON)",
      started_at: recordedAt,
      finished_at: recordedAt,
    },
  },
  tags: {
    kind: "table",
    about: "Tags of experiments, trials and runs.",
    columns: {
      kind: "`experiment`, `trial` or `run`",
      target: "name of the experiment, or id",
      tag: "tag",
      created_at: recordedAt,
    },
  },
}

/** Tables that may change without notice. */
export const internal: readonly string[] = [
  "config_paths",
  "config_values",
  "metric_blocks",
  "imports",
  "run_stages",
  "samples_text",
]

/** The reference as markdown, with headings of the given level. */
export function sqlReference(level = 3): string {
  const mark = "#".repeat(level)
  return Object.entries(relations)
    .map(([name, { kind, about, columns }]) => {
      const rows = Object.entries(columns).map(([column, text]) => `| \`${column}\` | ${text.replaceAll("|", "\\|")} |`)
      return `${mark} \`${name}\` (${kind})\n\n${about}\n\n| column | |\n|---|---|\n${rows.join("\n")}\n`
    })
    .join("\n")
}
