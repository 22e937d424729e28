import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { Artifacts } from "./artifacts.ts"
import { Checkpoints } from "./checkpoints.ts"
import { Connection, type SqlValue } from "./connection.ts"
import {
  CorruptDatabase,
  DatabaseMissing,
  DatabaseReadOnly,
  DirectoryMissing,
  NotADatabase,
  OlderDatabase,
  toStoreError,
} from "./errors.ts"
import { Experiments } from "./experiments.ts"
import { networkFileSystem } from "./file-system.ts"
import { Flusher } from "./flusher.ts"
import { Logs } from "./logs.ts"
import { MetricNames } from "./metric-names.ts"
import { BufferedMetricWriter, type MetricWriter } from "./metric-writer.ts"
import { Metrics } from "./metrics.ts"
import { type Migration, migrate, readMigrations, schemaVersion } from "./migrate.ts"
import { Queries } from "./queries.ts"
import { Runs } from "./runs.ts"
import { Samples } from "./samples.ts"
import { Stages } from "./stages.ts"
import { Tags } from "./tags.ts"
import { Trials } from "./trials.ts"

export interface StoreOptions {
  readonly mode: "write" | "read"
  /** Called with what the user should know but need not stop for: a network file system, a disk that is full. */
  readonly onWarning?: ((message: string) => void) | undefined
  /** How long to wait for another process's lock, in ms; 30 s unless said otherwise. */
  readonly lockTimeoutMs?: number | undefined
  /** The program's migrations unless said otherwise. */
  readonly migrations?: readonly Migration[] | undefined
}

/** The result of a user's SQL. */
export interface SqlResult {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly SqlValue[])[]
  /** There were more rows than the limit. */
  readonly cut: boolean
  /** Rows changed, for statements that return none. */
  readonly changes: number
}

/** An open runs.db. All SQL of the project is behind it. */
export class Store {
  readonly path: string
  readonly mode: "write" | "read"
  readonly connection: Connection
  readonly experiments: Experiments
  readonly trials: Trials
  readonly runs: Runs
  readonly metrics: Metrics
  readonly samples: Samples
  readonly artifacts: Artifacts
  readonly checkpoints: Checkpoints
  readonly logs: Logs
  readonly stages: Stages
  readonly tags: Tags
  readonly queries: Queries
  /** Copy that was made before this opening migrated the file. */
  readonly backup: string | undefined
  readonly #flusher: Flusher
  readonly #names: MetricNames
  #open = true

  constructor(
    connection: Connection,
    mode: "write" | "read",
    backup: string | undefined,
    warn: (message: string) => void,
  ) {
    this.path = connection.path
    this.mode = mode
    this.connection = connection
    this.backup = backup
    this.#flusher = new Flusher(connection, (problem) => warn(problem.message))
    this.#names = new MetricNames(connection)
    this.experiments = new Experiments(connection, this.#names)
    this.trials = new Trials(connection)
    this.runs = new Runs(connection)
    this.metrics = new Metrics(connection, this.#names)
    this.samples = new Samples(connection, this.#flusher, this.#names)
    this.artifacts = new Artifacts(connection)
    this.checkpoints = new Checkpoints(connection, this.artifacts)
    this.logs = new Logs(connection, this.#flusher)
    this.stages = new Stages(connection, this.artifacts)
    this.tags = new Tags(connection)
    this.queries = new Queries(connection)
  }

  /** A writer for one run's metrics; one per run and process. */
  metricWriter(runId: number): MetricWriter {
    return new BufferedMetricWriter(this.connection, this.#flusher, this.#names, runId)
  }

  /** Writes everything that is held in memory, now. */
  flush(): void {
    this.#flusher.flush()
  }

  /** Runs one statement of a user's SQL. In a store opened to read, SQLite itself refuses to change anything. */
  sql(text: string, options: { readonly parameters?: readonly SqlValue[]; readonly limit?: number } = {}): SqlResult {
    const { parameters = [], limit = Number.POSITIVE_INFINITY } = options
    return this.connection.attempt(() => {
      const statement = this.connection.sqlite.prepare(text)
      if (!statement.reader) return { columns: [], rows: [], cut: false, changes: statement.run(...parameters).changes }
      const columns = statement.columns().map((column) => column.name)
      const rows: SqlValue[][] = []
      let cut = false
      for (const row of statement.raw(true).iterate(...parameters) as IterableIterator<SqlValue[]>) {
        if (rows.length >= limit) {
          cut = true
          break
        }
        rows.push(row)
      }
      return { columns, rows, cut, changes: 0 }
    })
  }

  /** Whether the file is sound: the problems that SQLite finds in it. Reads all of it. */
  verify(): string[] {
    const found = this.connection.attempt(() => this.connection.sqlite.pragma("quick_check")) as {
      quick_check: string
    }[]
    return found.map((row) => row.quick_check).filter((line) => line !== "ok")
  }

  /**
   * Gives free pages back to the file system when they are more than a quarter of the file, nothing is running and
   * nobody else is writing; else it does nothing, and SQLite uses them again by itself.
   */
  compact(): void {
    const { sqlite } = this.connection
    const [free, all] = (["freelist_count", "page_count"] as const).map(
      (pragma) => sqlite.pragma(pragma, { simple: true }) as number,
    )
    if (free! * 4 < all! || this.runs.live().length > 0) return
    try {
      sqlite.exec("VACUUM")
      sqlite.pragma("wal_checkpoint(TRUNCATE)")
    } catch {
      // Somebody reads or writes: another time.
    }
  }

  /** Writes what is held and closes the file. Throws when rows could not be written, and keeps the store open then. */
  close(): void {
    if (!this.#open) return
    this.#flusher.close()
    this.#open = false
    this.connection.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const magic = "SQLite format 3\0"

/** Reads the header before SQLite does, for errors that say more than "malformed". */
function inspect(path: string): void {
  const size = statSync(path).size
  if (size === 0) return
  const header = Buffer.alloc(100)
  const file = openSync(path, "r")
  try {
    readSync(file, header, 0, 100, 0)
  } finally {
    closeSync(file)
  }
  if (header.toString("latin1", 0, 16) !== magic) throw new NotADatabase(path, "it is not a SQLite file")
  const pageSize = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16)
  const pages = header.readUInt32BE(28)
  // With a write-ahead log beside it, the file may rightly be shorter than its header says.
  const logged = existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0
  const counted = header.readUInt32BE(24) === header.readUInt32BE(92)
  if (!logged && counted && size < pages * pageSize)
    throw new CorruptDatabase(path, `it is cut short, ${size} bytes of ${pages * pageSize}`)
}

/**
 * The file's bytes, for reading it in a directory that cannot be written, where the shared-memory file that WAL needs
 * cannot be made. An empty log says that all is in the file itself. Bytes 18 and 19 of the header ask for WAL, which a
 * database in memory cannot have.
 */
function stillCopy(path: string): Buffer {
  const bytes = readFileSync(path)
  bytes[18] = 1
  bytes[19] = 1
  return bytes
}

function allowed(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/**
 * Opens runs.db, creating and migrating it in mode `write`. Throws `DirectoryMissing`, `DatabaseMissing`,
 * `DatabaseReadOnly`, `NotADatabase`, `NewerDatabase`, `OlderDatabase`, `CorruptDatabase`, `DatabaseLocked`, `DiskFull`.
 *
 * The database runs in WAL mode with `synchronous = NORMAL`: a committed transaction survives the death of any process
 * (kill -9 included), because it is in the operating system's hands; after a power cut the file is sound but the last
 * transactions before it may be missing.
 */
export function openStore(path: string, options: StoreOptions): Store {
  const full = resolve(path)
  const reading = options.mode === "read"
  const warn = options.onWarning ?? ((message) => process.emitWarning(message))
  const directory = dirname(full)
  if (!existsSync(directory)) throw new DirectoryMissing(full, directory)
  const there = existsSync(full)
  if (there && statSync(full).isDirectory()) throw new NotADatabase(full, "it is a directory")
  if (!there && reading) throw new DatabaseMissing(full)
  if (!reading && there && !allowed(full, constants.W_OK)) throw new DatabaseReadOnly(full, "the file is read-only")
  if (!reading && !allowed(directory, constants.W_OK))
    throw new DatabaseReadOnly(full, `the directory ${directory} is read-only`)
  if (!allowed(there ? full : directory, constants.R_OK)) throw new DatabaseReadOnly(full, "it may not be read")
  if (there) inspect(full)
  const network = networkFileSystem(directory)
  if (network !== undefined)
    warn(
      `${full} is on a network file system (${network}), where SQLite's locks are not reliable: use it from one machine only, or put the database on a local disk with --db.`,
    )

  const logged = existsSync(`${full}-wal`) && statSync(`${full}-wal`).size > 0
  const still = reading && !allowed(directory, constants.W_OK) && !logged
  const connection = new Connection(full, still ? stillCopy(full) : full, {
    readonly: reading,
    lockTimeoutMs: options.lockTimeoutMs ?? 30_000,
  })
  try {
    const { sqlite } = connection
    const migrations = options.migrations ?? readMigrations()
    const version = schemaVersion(connection, migrations.length)
    if (reading && version < migrations.length) throw new OlderDatabase(full, version, migrations.length)
    if (!reading) {
      connection.attempt(() => {
        if (sqlite.pragma("journal_mode", { simple: true }) !== "wal") sqlite.pragma("journal_mode = WAL")
      })
      sqlite.pragma("synchronous = NORMAL")
      // 16 MB between checkpoints: fewer syncs while logging fast. The log is cut back to 64 MB after a burst.
      sqlite.pragma("wal_autocheckpoint = 4000")
      sqlite.pragma("journal_size_limit = 67108864")
    }
    sqlite.pragma("foreign_keys = ON")
    sqlite.pragma("temp_store = MEMORY")
    sqlite.pragma("trusted_schema = ON")
    const backup = reading ? undefined : migrate(connection, migrations)
    return new Store(connection, options.mode, backup, warn)
  } catch (thrown) {
    connection.close()
    throw toStoreError(full, thrown)
  }
}
