import type { Connection } from "./connection.ts"
import type { Buffered, Flusher } from "./flusher.ts"
import type { MetricNames } from "./metric-names.ts"
import { comparisonSql, type WhereTerm } from "./where.ts"

export type SampleTags = Readonly<Record<string, string | number | boolean>>

/** One measurement of a competitor that is not a run (an imported model). */
export interface ImportedResult {
  readonly competitor: string
  readonly dataset: string
  readonly sample: string
  readonly metric: string
  readonly value: number
  readonly tags?: SampleTags | undefined
  readonly text?: string | undefined
}

export interface ImportedVote {
  readonly left: string
  readonly right: string
  readonly winner: "left" | "right" | "tie"
  readonly tags?: SampleTags | undefined
}

export interface SampleFilter {
  readonly dataset?: string | undefined
  /** Comparisons on tags, all of which must hold; `dataset` and `key` are names too. */
  readonly where?: readonly WhereTerm[] | undefined
  /** Words to look for in text and tags (any of them), best match first by BM25. */
  readonly about?: string | undefined
  readonly limit?: number | undefined
}

export interface Sample {
  readonly id: number
  readonly dataset: string
  readonly key: string
  readonly tags: SampleTags
  readonly text: string | null
}

/**
 * Results as parallel columns: `competitors[competitor[i]]` got `value[i]` in `metrics[metric[i]]` on the sample
 * numbered `sample[i]` (0 … samples − 1; `sampleIds` and `seeds` say which sample and seed that is).
 */
export interface ResultMatrix {
  readonly competitors: readonly string[]
  readonly metrics: readonly string[]
  readonly samples: number
  readonly sampleIds: Int32Array
  /** The seed that belongs to each numbered sample; NaN for imported results. */
  readonly seeds: Float64Array
  readonly competitor: Int32Array
  readonly metric: Int32Array
  readonly sample: Int32Array
  readonly value: Float64Array
}

interface Held {
  readonly runId: number
  readonly dataset: string
  readonly key: string
  readonly values: Readonly<Record<string, number | undefined>>
  readonly tags: SampleTags | undefined
  readonly text: string | undefined
}

const rememberedSamples = 500_000
const importBatch = 50_000
/** Rows of one multi-row insert. */
const importWidth = 64

/** Per-sample results of runs and of imported competitors, the raw material of rankings. */
export class Samples implements Buffered {
  readonly #connection: Connection
  readonly #flusher: Flusher
  readonly #names: MetricNames
  #held: Held[] = []
  #writing = 0
  #datasets = new Map<string, number>()
  #samples = new Map<string, number>()
  #competitors = new Map<string, number>()

  constructor(connection: Connection, flusher: Flusher, names: MetricNames) {
    this.#connection = connection
    this.#flusher = flusher
    this.#names = names
    flusher.add(this)
    connection.onRollback(() => {
      this.#datasets.clear()
      this.#samples.clear()
      this.#competitors.clear()
    })
  }

  get pending(): number {
    return this.#held.length
  }

  /** Notes a run's results on one sample; on disk within 250 ms. The same run, sample and metric again replaces. */
  record(
    runId: number,
    dataset: string,
    key: string,
    values: Readonly<Record<string, number | undefined>>,
    tags?: SampleTags,
    text?: string,
  ): void {
    this.#held.push({ runId, dataset, key, values, tags, text })
    this.#flusher.schedule()
    if (this.#held.length % 10_000 === 0) this.#flusher.background()
  }

  flush(): void {
    this.#flusher.flush(this)
  }

  write(): void {
    this.#writing = this.#held.length
    for (const { runId, dataset, key, values, tags, text } of this.#held) {
      const competitor = this.#competitor(runId)
      const sample = this.#sample(dataset, key, tags, text)
      for (const name in values) {
        const value = values[name]
        if (value !== undefined) this.#insert(competitor, this.#names.id(name), sample, value)
      }
    }
  }

  settled(committed: boolean): void {
    if (committed) this.#held = this.#held.slice(this.#writing)
  }

  #insert(competitor: number, metric: number, sample: number, value: number): void {
    this.#connection
      .sql("INSERT OR REPLACE INTO sample_results (competitor_id, metric_id, sample_id, value) VALUES (?, ?, ?, ?)")
      .run(competitor, metric, sample, value)
  }

  #dataset(name: string): number {
    let id = this.#datasets.get(name)
    if (id === undefined) {
      this.#connection.sql("INSERT INTO datasets (name) VALUES (?) ON CONFLICT DO NOTHING").run(name)
      id = this.#connection.sql<{ id: number }>("SELECT id FROM datasets WHERE name = ?").get(name)!.id
      this.#datasets.set(name, id)
    }
    return id
  }

  #sample(dataset: string, key: string, tags?: SampleTags, text?: string): number {
    const datasetId = this.#dataset(dataset)
    const encoded = tags === undefined ? "" : JSON.stringify(tags)
    // What was said of the sample is part of the key, so that a sample is looked at again only when that changes.
    const remembered = `${datasetId}\0${key}\0${encoded}\0${text ?? ""}`
    const known = this.#samples.get(remembered)
    if (known !== undefined) return known
    const found = this.#connection
      .sql<{ id: number; tags: string; text: string | null }>(
        "SELECT id, tags, text FROM samples WHERE dataset_id = ? AND key = ?",
      )
      .get(datasetId, key)
    let id: number
    if (found === undefined) {
      id = this.#connection
        .sql("INSERT INTO samples (dataset_id, key, tags, text) VALUES (?, ?, ?, ?)")
        .run(datasetId, key, encoded || "{}", text ?? null).lastInsertRowid
      if (tags !== undefined) this.#tag(id, tags)
    } else {
      id = found.id
      const merged = tags === undefined ? found.tags : JSON.stringify({ ...JSON.parse(found.tags), ...tags })
      const words = text ?? found.text
      if (merged !== found.tags || words !== found.text) {
        this.#connection.sql("UPDATE samples SET tags = ?, text = ? WHERE id = ?").run(merged, words, id)
        if (tags !== undefined) this.#tag(id, tags)
      }
    }
    if (this.#samples.size >= rememberedSamples) this.#samples.clear()
    this.#samples.set(remembered, id)
    return id
  }

  #tag(sample: number, tags: SampleTags): void {
    const insert = this.#connection.sql("INSERT OR REPLACE INTO sample_tags (sample_id, tag, value) VALUES (?, ?, ?)")
    for (const [tag, value] of Object.entries(tags))
      insert.run(sample, tag, typeof value === "boolean" ? Number(value) : value)
  }

  /** The competitor of a run (by number) or of an imported name. */
  #competitor(of: number | string): number {
    const key = typeof of === "number" ? `#${of}` : `=${of}`
    let id = this.#competitors.get(key)
    if (id === undefined) {
      const column = typeof of === "number" ? "run_id" : "name"
      this.#connection
        .sql(`INSERT INTO competitors (${column}, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING`)
        .run(of, Date.now())
      id = this.#connection.sql<{ id: number }>(`SELECT id FROM competitors WHERE ${column} = ?`).get(of)!.id
      this.#competitors.set(key, id)
    }
    return id
  }

  #batches<A>(rows: Iterable<A>, work: (row: A) => void, onProgress?: (rows: number) => void): number {
    let count = 0
    const iterator = rows[Symbol.iterator]()
    let next = iterator.next()
    while (next.done !== true) {
      this.#connection.write(() => {
        for (let i = 0; i < importBatch && next.done !== true; i++, next = iterator.next()) {
          work(next.value)
          count++
        }
      })
      onProgress?.(count)
    }
    return count
  }

  /**
   * Records results of competitors that are not runs, in batches; the same cell again replaces. Returns how many.
   *
   * The rows of a batch are inserted in the order of the table's key and many to a statement: SQLite then walks down
   * its tree once for a run of neighbours instead of once for every row.
   */
  importResults(rows: Iterable<ImportedResult>, onProgress?: (rows: number) => void): number {
    const iterator = rows[Symbol.iterator]()
    const competitor = new Int32Array(importBatch)
    const metric = new Int32Array(importBatch)
    const sample = new Int32Array(importBatch)
    const value = new Float64Array(importBatch)
    const { sqlite } = this.#connection
    const insert = (rows: number) =>
      sqlite.prepare(
        `INSERT OR REPLACE INTO sample_results (competitor_id, metric_id, sample_id, value) VALUES ${Array(rows).fill("(?,?,?,?)").join(",")}`,
      )
    const one = insert(1)
    const many = insert(importWidth)
    const cells = new Array<number | null>(4 * importWidth)
    let count = 0
    for (let next = iterator.next(); next.done !== true; ) {
      let size = 0
      this.#connection.write(() => {
        let last: ImportedResult | undefined
        for (; size < importBatch && next.done !== true; size++, next = iterator.next()) {
          const row = next.value
          competitor[size] = this.#competitor(row.competitor)
          metric[size] = last?.metric === row.metric ? metric[size - 1]! : this.#names.id(row.metric)
          sample[size] =
            last !== undefined &&
            last.sample === row.sample &&
            last.dataset === row.dataset &&
            last.tags === row.tags &&
            last.text === row.text
              ? sample[size - 1]!
              : this.#sample(row.dataset, row.sample, row.tags, row.text)
          value[size] = row.value
          last = row
        }
        const order = new Uint32Array(size)
        for (let i = 0; i < size; i++) order[i] = i
        // The last comparison keeps rows of one cell in their order, so that the later one stays.
        order.sort(
          (a, b) => competitor[a]! - competitor[b]! || metric[a]! - metric[b]! || sample[a]! - sample[b]! || a - b,
        )
        let i = 0
        for (; i + importWidth <= size; i += importWidth) {
          for (let k = 0; k < importWidth; k++) {
            const row = order[i + k]!
            cells[4 * k] = competitor[row]!
            cells[4 * k + 1] = metric[row]!
            cells[4 * k + 2] = sample[row]!
            cells[4 * k + 3] = value[row]!
          }
          many.run(cells)
        }
        for (; i < size; i++) {
          const row = order[i]!
          one.run(competitor[row]!, metric[row]!, sample[row]!, value[row]!)
        }
      })
      count += size
      onProgress?.(count)
    }
    return count
  }

  /**
   * Records pairwise votes from one source. A source (by content hash) that was read to its end is not read again:
   * returns 0 then.
   */
  importVotes(
    source: { readonly hash: string; readonly name: string },
    rows: Iterable<ImportedVote>,
    onProgress?: (rows: number) => void,
  ): number {
    const before = this.#connection
      .sql<{ id: number; rows: number }>("SELECT id, rows FROM imports WHERE content_hash = ?")
      .get(source.hash)
    if (before !== undefined && before.rows > 0) return 0
    // One that broke off left its rows without a count: begin it again.
    if (before !== undefined) this.#connection.sql("DELETE FROM votes WHERE import_id = ?").run(before.id)
    const id =
      before?.id ??
      this.#connection
        .sql("INSERT INTO imports (content_hash, source, created_at) VALUES (?, ?, ?)")
        .run(source.hash, source.name, Date.now()).lastInsertRowid
    const insert = this.#connection.sql(
      "INSERT INTO votes (import_id, left_id, right_id, winner, tags) VALUES (?, ?, ?, ?, ?)",
    )
    const count = this.#batches(
      rows,
      ({ left, right, winner, tags }) =>
        insert.run(id, this.#competitor(left), this.#competitor(right), winner, tags ? JSON.stringify(tags) : "{}"),
      onProgress,
    )
    this.#connection.sql("UPDATE imports SET rows = ? WHERE id = ?").run(count, id)
    return count
  }

  /** All votes as columns; `winner` is 0 for left, 1 for right, 2 for a tie. */
  votes(): {
    readonly competitors: readonly string[]
    readonly left: Int32Array
    readonly right: Int32Array
    readonly winner: Uint8Array
  } {
    const names = new Map<number, number>()
    const competitors: string[] = []
    for (const { id, name } of this.#connection
      .sql<{ id: number; name: string }>(
        `SELECT id, name FROM competitors
         WHERE id IN (SELECT left_id FROM votes) OR id IN (SELECT right_id FROM votes) ORDER BY name`,
      )
      .all()) {
      names.set(id, competitors.length)
      competitors.push(name)
    }
    const count = this.#connection.sql<{ n: number }>("SELECT count(*) AS n FROM votes").get()!.n
    const left = new Int32Array(count)
    const right = new Int32Array(count)
    const winner = new Uint8Array(count)
    let i = 0
    for (const row of this.#iterate<[number, number, number]>(
      "SELECT left_id, right_id, CASE winner WHEN 'left' THEN 0 WHEN 'right' THEN 1 ELSE 2 END FROM votes ORDER BY id",
    )) {
      if (i === count) break
      left[i] = names.get(row[0])!
      right[i] = names.get(row[1])!
      winner[i++] = row[2]
    }
    return { competitors, left, right, winner }
  }

  #iterate<Row>(sql: string, ...parameters: (string | number | null)[]): IterableIterator<Row> {
    return this.#connection.sqlite
      .prepare(sql)
      .raw(true)
      .iterate(...parameters) as IterableIterator<Row>
  }

  /** Ids of the samples that a filter picks: in order of relevance with `about`, else by id. */
  select(filter: SampleFilter): Int32Array {
    const parts: string[] = []
    const parameters: (string | number | null)[] = []
    if (filter.dataset !== undefined) {
      parts.push("s.dataset_id = (SELECT id FROM datasets WHERE name = ?)")
      parameters.push(filter.dataset)
    }
    for (const { name, comparison, value } of filter.where ?? []) {
      if (name === "dataset" || name === "key") {
        const column = name === "key" ? "s.key" : "(SELECT name FROM datasets WHERE id = s.dataset_id)"
        parts.push(comparisonSql(column, comparison))
        parameters.push(value === null ? null : String(value))
      } else {
        parts.push(
          `s.id IN (SELECT sample_id FROM sample_tags WHERE tag = ? AND ${comparisonSql("value", comparison)})`,
        )
        parameters.push(name, value)
      }
    }
    const about = filter.about === undefined ? undefined : ftsQuery(filter.about)
    if (about === "") return new Int32Array(0)
    const from =
      about === undefined
        ? "samples s"
        : "(SELECT rowid, rank FROM samples_text WHERE samples_text MATCH ?) f JOIN samples s ON s.id = f.rowid"
    if (about !== undefined) parameters.unshift(about)
    const where = parts.length === 0 ? "" : `WHERE ${parts.join(" AND ")}`
    const order = about === undefined ? "s.id" : "f.rank, s.id"
    const rows = this.#connection
      .sql<{ id: number }>(`SELECT s.id FROM ${from} ${where} ORDER BY ${order} LIMIT ?`)
      .all(...parameters, filter.limit ?? -1)
    return Int32Array.from(rows, (row) => row.id)
  }

  get(id: number): Sample | undefined {
    const row = this.#connection
      .sql<Omit<Sample, "tags"> & { tags: string }>(
        `SELECT s.id, d.name AS dataset, s.key, s.tags, s.text FROM samples s
         JOIN datasets d ON d.id = s.dataset_id WHERE s.id = ?`,
      )
      .get(id)
    return row && { ...row, tags: JSON.parse(row.tags) as SampleTags }
  }

  /** Tags in use with how many samples carry them. */
  tagNames(): { readonly tag: string; readonly count: number }[] {
    return this.#connection
      .sql<{ tag: string; count: number }>("SELECT tag, count(*) AS count FROM sample_tags GROUP BY tag ORDER BY tag")
      .all()
  }

  /** The value of one tag for these samples, undefined where a sample does not carry it. */
  tagValues(tag: string, ids: Int32Array): (string | number | undefined)[] {
    const values = new Map<number, string | number>()
    for (const [id, value] of this.#iterate<[number, string | number]>(
      "SELECT sample_id, value FROM sample_tags WHERE tag = ?",
      tag,
    ))
      values.set(id, value)
    return Array.from(ids, (id) => values.get(id))
  }

  /** Metrics of which there are per-sample results. */
  metricsWithResults(): string[] {
    return this.#connection
      .sql<{ name: string }>(
        `SELECT name FROM metric_names WHERE id IN (
           SELECT DISTINCT r.metric_id FROM competitors c JOIN sample_results r ON r.competitor_id = c.id
         ) ORDER BY name`,
      )
      .all()
      .map((row) => row.name)
  }

  /**
   * Results for ranking. With `experiments`, the competitors are their arms (with the condition, where there is one),
   * from the latest completed run of each compared trial, and each seed's samples count as samples of their own.
   * Without, they are all imported competitors. `samples` restricts to these sample ids (see {@link select}).
   */
  matrix(request: {
    readonly metrics: readonly string[]
    readonly experiments?: readonly string[] | undefined
    readonly profile?: string | undefined
    readonly samples?: Int32Array | undefined
  }): ResultMatrix {
    return this.#connection.snapshot(() => {
      const sources =
        request.experiments === undefined
          ? this.#connection
              .sql<{ id: number; name: string; seed: number | null }>(
                "SELECT id, name, NULL AS seed FROM competitors WHERE name IS NOT NULL ORDER BY name",
              )
              .all()
          : this.#connection
              .sql<{ id: number; name: string; seed: number | null }>(
                `SELECT c.id, CASE WHEN x.condition IN ('', x.arm) THEN x.arm
                     WHEN substr(x.condition, 1, length(x.arm)) = x.arm THEN x.condition
                     ELSE x.arm || ' ' || x.condition END
                   || CASE WHEN ? > 1 THEN ' (' || e.name || ')' ELSE '' END AS name, t.seed
                 FROM experiments e
                 JOIN experiment_trials x ON x.experiment_id = e.id AND x.phase = 'compare' AND x.current = 1
                 JOIN trials t ON t.id = x.trial_id
                 JOIN competitors c ON c.run_id = (SELECT max(r.id) FROM runs r
                   WHERE r.trial_id = x.trial_id AND +r.status = 'completed' AND r.deleted_at IS NULL)
                 WHERE e.name IN (SELECT value FROM json_each(?)) AND x.profile = ? ORDER BY e.name, x.position`,
              )
              .all(request.experiments.length, JSON.stringify(request.experiments), request.profile ?? "default")
      const wanted = request.samples === undefined ? undefined : new Set(request.samples)
      const metricIds = request.metrics.map((name) => this.#names.find(name))
      const competitors: string[] = []
      const numbers = new Map<string, number>()
      const bySeed = new Map<number | null, Map<number, number>>()
      const sampleIds: number[] = []
      const seeds: number[] = []
      const rows = new Columns()
      const read = this.#connection.sqlite
        .prepare("SELECT sample_id, value FROM sample_results WHERE competitor_id = ? AND metric_id = ?")
        .raw(true)
      for (const { id, name, seed } of sources) {
        let competitor = numbers.get(name)
        if (competitor === undefined) {
          competitor = competitors.length
          numbers.set(name, competitor)
          competitors.push(name)
        }
        let known = bySeed.get(seed)
        if (known === undefined) {
          known = new Map()
          bySeed.set(seed, known)
        }
        for (let m = 0; m < metricIds.length; m++) {
          const metricId = metricIds[m]
          if (metricId === undefined) continue
          for (const [sampleId, value] of read.iterate(id, metricId) as IterableIterator<[number, number | null]>) {
            if (wanted !== undefined && !wanted.has(sampleId)) continue
            let sample = known.get(sampleId)
            if (sample === undefined) {
              sample = sampleIds.length
              known.set(sampleId, sample)
              sampleIds.push(sampleId)
              seeds.push(seed ?? Number.NaN)
            }
            rows.push(competitor, m, sample, value ?? Number.NaN)
          }
        }
      }
      return {
        competitors,
        metrics: request.metrics,
        samples: sampleIds.length,
        sampleIds: Int32Array.from(sampleIds),
        seeds: Float64Array.from(seeds),
        ...rows.take(),
      }
    })
  }
}

/** Growing typed columns. */
class Columns {
  #size = 0
  #competitor = new Int32Array(4096)
  #metric = new Int32Array(4096)
  #sample = new Int32Array(4096)
  #value = new Float64Array(4096)

  push(competitor: number, metric: number, sample: number, value: number): void {
    if (this.#size === this.#value.length) {
      const room = this.#size * 2
      const grown = (old: Int32Array) => {
        const made = new Int32Array(room)
        made.set(old)
        return made
      }
      this.#competitor = grown(this.#competitor)
      this.#metric = grown(this.#metric)
      this.#sample = grown(this.#sample)
      const value = new Float64Array(room)
      value.set(this.#value)
      this.#value = value
    }
    this.#competitor[this.#size] = competitor
    this.#metric[this.#size] = metric
    this.#sample[this.#size] = sample
    this.#value[this.#size++] = value
  }

  take() {
    return {
      competitor: this.#competitor.slice(0, this.#size),
      metric: this.#metric.slice(0, this.#size),
      sample: this.#sample.slice(0, this.#size),
      value: this.#value.slice(0, this.#size),
    }
  }
}

/** What a user types, as words of which any may occur: nothing in it is query syntax. */
function ftsQuery(text: string): string {
  return (text.match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => `"${word}"`).join(" OR ")
}
