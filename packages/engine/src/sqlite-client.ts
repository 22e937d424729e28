/**
 * A better-sqlite3 driver for `effect/sql`.
 *
 * better-sqlite3 is synchronous: each statement runs to its end on the calling thread, so one connection per process
 * is right, and a semaphore of one keeps the statements of a transaction together. It serves the workflow journal
 * only; runs.db is the business of @exp/store.
 */
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"

export interface SqliteOptions {
  readonly filename: string
  /** How long a statement waits for another process's transaction. Default 10 000 ms. */
  readonly busyTimeoutMillis?: number | undefined
}

const failure = (operation: string) => (cause: unknown) =>
  new SqlError.SqlError({
    reason: SqlError.classifySqliteError(cause, { message: `SQLite could not ${operation}`, operation }),
  })

/** SQLite knows no booleans, dates or big typed arrays; better-sqlite3 rejects what it cannot bind. */
const bindable = (value: unknown): unknown => {
  if (typeof value === "boolean") return value ? 1 : 0
  if (value instanceof Date) return value.getTime()
  if (value instanceof Uint8Array && !Buffer.isBuffer(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  }
  return value === undefined ? null : value
}

/** Statements kept compiled. Statement texts come from a handful of call sites; the bound is for the unexpected. */
const maximumStatements = 200

/** Opens the file and makes an `effect/sql` client of it; the scope closes the file. */
export const make = (
  options: SqliteOptions,
): Effect.Effect<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const db = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          const opened = new Database(options.filename, { timeout: options.busyTimeoutMillis ?? 10_000 })
          opened.pragma("journal_mode = WAL")
          // In WAL mode NORMAL survives the death of the process; only a power cut may lose the last transactions,
          // and the journal then merely repeats an activity whose outcome runs.db already holds.
          opened.pragma("synchronous = NORMAL")
          opened.pragma("foreign_keys = ON")
          return opened
        },
        catch: failure("open the file"),
      }),
      (opened) => Effect.sync(() => opened.close()),
    )

    const statements = new Map<string, Database.Statement>()
    const prepare = (sql: string): Database.Statement => {
      const known = statements.get(sql)
      if (known !== undefined) return known
      const statement = db.prepare(sql)
      if (statements.size >= maximumStatements) statements.delete(statements.keys().next().value as string)
      statements.set(sql, statement)
      return statement
    }

    type Rows = ReadonlyArray<Record<string, unknown>>
    const rows = (statement: Database.Statement, params: ReadonlyArray<unknown>): Rows => {
      const bound = params.map(bindable)
      if (statement.reader) return statement.all(...bound) as Rows
      statement.run(...bound)
      return []
    }
    const execute = (compile: (sql: string) => Database.Statement) => (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.try({ try: () => rows(compile(sql), params), catch: failure("execute a statement") })
    const prepared = execute(prepare)
    const unprepared = execute((sql) => db.prepare(sql))

    const transformed = (
      result: Effect.Effect<Rows, SqlError.SqlError>,
      transform: (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined,
    ) => (transform === undefined ? result : Effect.map(result, transform))

    // On a statement of its own: `raw` changes a statement for good, and the cached one must go on giving objects.
    const values = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.try({
        try: () => {
          const statement = db.prepare(sql)
          const bound = params.map(bindable)
          if (statement.reader) return statement.raw().all(...bound) as Array<Array<unknown>>
          statement.run(...bound)
          return []
        },
        catch: failure("execute a statement"),
      })

    const connection: SqlConnection.Connection = {
      execute: (sql, params, transform) => transformed(prepared(sql, params), transform),
      executeRaw: (sql, params) =>
        Effect.try({
          try: () => {
            const statement = prepare(sql)
            const bound = params.map(bindable)
            return statement.reader ? statement.all(...bound) : statement.run(...bound)
          },
          catch: failure("execute a statement"),
        }),
      executeUnprepared: (sql, params, transform) => transformed(unprepared(sql, params), transform),
      executeValues: values,
      executeValuesUnprepared: values,
      // All rows are in memory after one synchronous call anyway; a stream adds nothing but its interface.
      executeStream: (sql, params, transform) =>
        Stream.unwrap(Effect.map(transformed(prepared(sql, params), transform), (all) => Stream.fromIterable(all))),
    }

    const semaphore = yield* Semaphore.make(1)
    return yield* SqlClient.make({
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.succeed(connection),
        semaphore,
        isTransaction: () => db.inTransaction,
      }),
      compiler: Statement.makeCompilerSqlite(),
      driver: "better-sqlite3",
      prepareTransactionControls: true,
      // A deferred BEGIN can meet SQLITE_BUSY in mid-transaction, where waiting does not help.
      beginTransaction: "BEGIN IMMEDIATE",
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
      spanAttributes: [["db.system.name", "sqlite"]],
    })
  })

export const layer = (options: SqliteOptions): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))
