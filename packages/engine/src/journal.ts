/**
 * A durable workflow engine on one SQLite file: Effect's in-memory engine runs the workflows, and this layer writes
 * down what they have finished.
 *
 * Every finished activity, deferred, clock and workflow is a row. A workflow that is executed again (by the same
 * process or by one that continues after a crash) gets recorded results back instead of doing the work twice.
 *
 * The journal deliberately knows nothing of ownership: it holds no locks and runs only what its own process asks for.
 * Who may work on a trial is decided in one place, the claims of runs.db, so the two cannot disagree.
 */
import { randomUUID } from "node:crypto"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"

const migrate = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS executions (
    id TEXT PRIMARY KEY, workflow TEXT NOT NULL, payload TEXT NOT NULL, started_at INTEGER NOT NULL,
    finished_at INTEGER, result TEXT) STRICT, WITHOUT ROWID`
  yield* sql`CREATE TABLE IF NOT EXISTS activities (
    execution TEXT NOT NULL, name TEXT NOT NULL, attempt INTEGER NOT NULL, finished_at INTEGER NOT NULL,
    result TEXT NOT NULL, PRIMARY KEY (execution, name, attempt)) STRICT, WITHOUT ROWID`
  yield* sql`CREATE TABLE IF NOT EXISTS deferreds (
    execution TEXT NOT NULL, name TEXT NOT NULL, result TEXT NOT NULL, PRIMARY KEY (execution, name)) STRICT, WITHOUT ROWID`
  yield* sql`CREATE TABLE IF NOT EXISTS clocks (
    execution TEXT NOT NULL, name TEXT NOT NULL, wake_at INTEGER NOT NULL, PRIMARY KEY (execution, name)) STRICT, WITHOUT ROWID`
  yield* sql`CREATE TABLE IF NOT EXISTS invocations (
    id TEXT PRIMARY KEY, experiment TEXT NOT NULL, fingerprint TEXT NOT NULL, owner TEXT NOT NULL, floor INTEGER NOT NULL,
    started_at INTEGER NOT NULL, finished_at INTEGER) STRICT, WITHOUT ROWID`
  const columns = yield* sql<{ name: string }>`SELECT name FROM pragma_table_info('invocations')`
  if (!columns.some((column) => column.name === "command"))
    yield* sql`ALTER TABLE invocations ADD COLUMN command TEXT`.pipe(
      // Another process may have been quicker.
      Effect.catchTag("SqlError", () => sql`SELECT command FROM invocations LIMIT 0`),
    )
})

/** Text form of an exit; made once per schema, since deriving a codec costs more than using it. */
type ExitCodec = {
  readonly encode: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<string>
  readonly decode: (text: string) => Effect.Effect<Exit.Exit<unknown, unknown>>
}
const codecs = new WeakMap<object, ExitCodec>()
const exitCodec = (owner: object, success: Schema.Top, error: Schema.Top): ExitCodec => {
  const known = codecs.get(owner)
  if (known !== undefined) return known
  const schema = Schema.fromJsonString(Schema.toCodecJson(Schema.Exit(success, error, Schema.Defect())))
  const made = {
    encode: (exit: Exit.Exit<unknown, unknown>) => Effect.orDie(Schema.encodeEffect(schema)(exit)),
    decode: (text: string) => Effect.orDie(Schema.decodeEffect(schema)(text)),
  } as ExitCodec
  codecs.set(owner, made)
  return made
}

/** An interrupted exit is no outcome: the work was stopped, not done, and must be done again. */
const isOutcome = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(exit) || !exit.cause.reasons.every((reason: Cause.Reason<unknown>) => reason._tag === "Interrupt")

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* migrate
  const memory = Context.get(yield* Layer.build(WorkflowEngine.layerMemory), WorkflowEngine.WorkflowEngine)

  const deferredCodec = (deferred: {
    readonly successSchema: Schema.Constraint
    readonly errorSchema: Schema.Constraint
  }) => exitCodec(deferred, deferred.successSchema as Schema.Top, deferred.errorSchema as Schema.Top)

  const register: typeof memory.register = (workflow, execute) => {
    const codec = exitCodec(workflow, workflow.successSchema, workflow.errorSchema)
    return memory.register(
      workflow,
      (payload, executionId) =>
        Effect.gen(function* () {
          const found = yield* sql<{ result: string | null }>`SELECT result FROM executions WHERE id = ${executionId}`
          const stored = found[0]?.result
          if (stored != null) {
            return yield* yield* codec.decode(stored) as Effect.Effect<Exit.Exit<never, never>>
          }
          if (found.length === 0) {
            const text = JSON.stringify(payload)
            yield* sql`INSERT OR IGNORE INTO executions (id, workflow, payload, started_at)
            VALUES (${executionId}, ${workflow._tag}, ${text}, ${Date.now()})`
          }
          // The body must see this engine, not the one that runs it, or its activities would not be journalled.
          return yield* Effect.provideService(
            execute(payload, executionId),
            WorkflowEngine.WorkflowEngine,
            engine,
          ).pipe(
            Effect.onExit((exit) =>
              isOutcome(exit)
                ? codec.encode(exit).pipe(
                    Effect.flatMap(
                      (result) =>
                        sql`UPDATE executions SET result = ${result}, finished_at = ${Date.now()} WHERE id = ${executionId}`,
                    ),
                    Effect.orDie,
                  )
                : Effect.void,
            ),
          )
        }).pipe(Effect.catchTag("SqlError", Effect.die)) as ReturnType<typeof execute>,
    )
  }

  const activityExecute: typeof memory.activityExecute = (activity, attempt) =>
    Effect.gen(function* () {
      const { executionId } = yield* WorkflowEngine.WorkflowInstance
      const { successSchema, errorSchema, name } = activity as unknown as Activity.AnyWithProps
      const codec = exitCodec(successSchema, successSchema, errorSchema)
      const found = yield* sql<{ result: string }>`SELECT result FROM activities
        WHERE execution = ${executionId} AND name = ${name} AND attempt = ${attempt}`
      if (found[0] !== undefined) return new Workflow.Complete({ exit: yield* codec.decode(found[0].result) })
      const result = yield* memory.activityExecute(activity, attempt)
      if (result._tag === "Complete" && isOutcome(result.exit)) {
        const text = yield* codec.encode(result.exit)
        yield* sql`INSERT OR IGNORE INTO activities (execution, name, attempt, finished_at, result)
          VALUES (${executionId}, ${name}, ${attempt}, ${Date.now()}, ${text})`
      }
      return result
    }).pipe(Effect.catchTag("SqlError", Effect.die)) as ReturnType<typeof memory.activityExecute<never, never, never>>

  const engine: WorkflowEngine.WorkflowEngine["Service"] = WorkflowEngine.WorkflowEngine.of({
    ...memory,
    register,
    activityExecute,
    deferredResult: (deferred) =>
      Effect.gen(function* () {
        const { executionId } = yield* WorkflowEngine.WorkflowInstance
        const found = yield* sql<{ result: string }>`SELECT result FROM deferreds
          WHERE execution = ${executionId} AND name = ${deferred.name}`
        if (found[0] === undefined) return Option.none()
        return Option.some(yield* deferredCodec(deferred).decode(found[0].result))
      }).pipe(Effect.catchTag("SqlError", Effect.die)) as ReturnType<typeof memory.deferredResult<never, never>>,
    deferredDone: (deferred, options) =>
      deferredCodec(deferred)
        .encode(options.exit)
        .pipe(
          Effect.flatMap(
            (text) => sql`INSERT OR IGNORE INTO deferreds (execution, name, result)
              VALUES (${options.executionId}, ${options.deferredName}, ${text})`,
          ),
          Effect.orDie,
          Effect.andThen(memory.deferredDone(deferred, options)),
        ),
    scheduleClock: (workflow, { executionId, clock }) =>
      Effect.gen(function* () {
        const due = Date.now() + Duration.toMillis(clock.duration)
        yield* sql`INSERT OR IGNORE INTO clocks (execution, name, wake_at) VALUES (${executionId}, ${clock.name}, ${due})`
        const [row] = yield* sql<{ wake_at: number }>`SELECT wake_at FROM clocks
          WHERE execution = ${executionId} AND name = ${clock.name}`
        // Never longer than asked for, whatever the wall clock did in between.
        const left = Math.max(0, Math.min((row?.wake_at ?? due) - Date.now(), Duration.toMillis(clock.duration)))
        const remaining = DurableClock.make({ name: clock.name, duration: Duration.millis(left) })
        const wake = engine.deferredDone(remaining.deferred, {
          workflowName: workflow._tag,
          executionId,
          deferredName: remaining.deferred.name,
          exit: Exit.void,
        })
        yield* Effect.forkDetach(Effect.delay(wake, remaining.duration))
      }).pipe(Effect.catchTag("SqlError", Effect.die)),
  })
  return engine
})

/** The journalling workflow engine on the provided SQL client. */
export const layer: Layer.Layer<WorkflowEngine.WorkflowEngine, SqlError.SqlError, SqlClient.SqlClient> = Layer.effect(
  WorkflowEngine.WorkflowEngine,
  make,
)

/** One `exp run` of an experiment, continued across crashes of its process. */
export interface Invocation {
  readonly id: string
  /** Runs with ids up to this one existed before the invocation began. */
  readonly floor: number
  /** It had been begun by a process that is gone. */
  readonly continued: boolean
}

/**
 * Takes up the unfinished invocation of the same command whose process is gone, or begins a new one. Two commands at
 * the same time have an invocation each; they share the work through the claims of runs.db.
 */
export const openInvocation = (options: {
  readonly experiment: string
  /** Hash of everything that makes it the same command: plan, code, options, database. */
  readonly fingerprint: string
  /** The command as JSON, so that it can be given again by the experiment's name alone. */
  readonly command: string
  readonly owner: string
  readonly floor: number
  readonly isGone: (owner: string) => boolean
}): Effect.Effect<Invocation, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* migrate
    const open = yield* sql<{ id: string; owner: string; floor: number }>`SELECT id, owner, floor FROM invocations
      WHERE experiment = ${options.experiment} AND fingerprint = ${options.fingerprint} AND finished_at IS NULL
      ORDER BY started_at DESC`
    const left = open.find((row) => options.isGone(row.owner))
    if (left !== undefined) {
      yield* sql`UPDATE invocations SET owner = ${options.owner}, command = ${options.command} WHERE id = ${left.id}`
      return { id: left.id, floor: left.floor, continued: true }
    }
    const id = randomUUID()
    yield* sql`INSERT INTO invocations (id, experiment, fingerprint, owner, floor, started_at, command)
      VALUES (${id}, ${options.experiment}, ${options.fingerprint}, ${options.owner}, ${options.floor}, ${Date.now()},
        ${options.command})`
    return { id, floor: options.floor, continued: false }
  }).pipe((effect) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(effect)))

/** Ends an invocation: the same command begins a new one next time. */
export const closeInvocation = (id: string): Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`UPDATE invocations SET finished_at = ${Date.now()} WHERE id = ${id}`
  })
