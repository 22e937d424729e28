import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Database from "better-sqlite3"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as Journal from "../src/journal.ts"
import * as Sqlite from "../src/sqlite-client.ts"

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-journal-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}

const Count = Workflow.make("Count", {
  payload: { id: Schema.String, to: Schema.Int },
  success: Schema.Array(Schema.Number),
  error: Refused,
  idempotencyKey: ({ id }) => id,
})

/** A workflow of `to` activities on the folder's journal. `executed` lists what really ran. */
const engine = (executed: number[], activity: (n: number) => Effect.Effect<number, Refused>) =>
  Count.toLayer(
    Effect.fnUntraced(function* ({ to }) {
      const values: number[] = []
      for (let n = 0; n < to; n++) {
        values.push(
          yield* Activity.make({
            name: `step/${n}`,
            success: Schema.Number,
            error: Refused,
            execute: Effect.suspend(() => {
              executed.push(n)
              return activity(n)
            }),
          }),
        )
      }
      return values
    }),
  ).pipe(
    Layer.provideMerge(Journal.layer),
    Layer.provideMerge(Sqlite.layer({ filename: join(folder, "journal.db") })),
    Layer.provideMerge(Digest.layerWebCrypto),
  )

const attempt = (executed: number[], activity: (n: number) => Effect.Effect<number, Refused>) =>
  Count.execute({ id: "a", to: 4 }).pipe(Effect.provide(engine(executed, activity)), Effect.scoped)

describe("the journal", () => {
  it("repeats no finished activity after the engine is gone", async () => {
    const first: number[] = []
    const fiber = Effect.runFork(attempt(first, (n) => (n < 2 ? Effect.succeed(n * n) : Effect.never)))
    while (first.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
    await Effect.runPromise(Fiber.interrupt(fiber))

    const second: number[] = []
    const values = await Effect.runPromise(attempt(second, (n) => Effect.succeed(n * n)))
    expect(values).toEqual([0, 1, 4, 9])
    expect(first).toEqual([0, 1, 2])
    expect(second).toEqual([2, 3])

    const third: number[] = []
    expect(await Effect.runPromise(attempt(third, () => Effect.succeed(-1)))).toEqual([0, 1, 4, 9])
    expect(third).toEqual([])
  })

  it("keeps failures with their type, and values that JSON cannot hold", async () => {
    const values = await Effect.runPromise(
      attempt([], (n) => Effect.succeed(n === 0 ? Number.NaN : n === 1 ? Number.NEGATIVE_INFINITY : n)),
    )
    expect(values).toEqual([Number.NaN, Number.NEGATIVE_INFINITY, 2, 3])
    expect(await Effect.runPromise(attempt([], () => Effect.succeed(0)))).toEqual(values)
  })

  it("returns a recorded failure", async () => {
    const run = () =>
      Effect.runPromiseExit(attempt([], (n) => (n === 1 ? Effect.fail(new Refused({ why: "no" })) : Effect.succeed(n))))
    const failed = (exit: Exit.Exit<unknown, unknown>) =>
      Exit.isFailure(exit) ? exit.cause.reasons.map((r) => (r._tag === "Fail" ? r.error : r._tag)) : []
    const first = failed(await run())
    expect(first).toHaveLength(1)
    expect(first[0]).toBeInstanceOf(Refused)
    expect(failed(await run())[0]).toMatchObject({ _tag: "Refused", why: "no" })
  })

  it("wakes a durable clock at its appointed time, whatever is restarted meanwhile", async () => {
    const Sleeper = Workflow.make("Sleeper", { payload: { id: Schema.String }, idempotencyKey: ({ id }) => id })
    const layer = Sleeper.toLayer(() =>
      DurableClock.sleep({ name: "nap", duration: "1 hour", inMemoryThreshold: "1 millis" }),
    ).pipe(
      Layer.provideMerge(Journal.layer),
      Layer.provideMerge(Sqlite.layer({ filename: join(folder, "journal.db") })),
      Layer.provideMerge(Digest.layerWebCrypto),
    )
    const sleep = Sleeper.execute({ id: "s" }).pipe(Effect.provide(layer), Effect.scoped)
    const fiber = Effect.runFork(sleep)
    const clocks = () => {
      const sqlite = new Database(join(folder, "journal.db"))
      try {
        return sqlite.prepare("SELECT wake_at AS at FROM clocks").all() as { at: number }[]
      } catch {
        return [] // The table is not there yet.
      } finally {
        sqlite.close()
      }
    }
    while (clocks().length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    await Effect.runPromise(Fiber.interrupt(fiber))
    const appointed = clocks()[0]!.at
    expect(appointed).toBeGreaterThan(Date.now() + 3_000_000)
    const again = Effect.runFork(sleep)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(again.pollUnsafe()).toBeUndefined()
    await Effect.runPromise(Fiber.interrupt(again))
    expect(clocks()).toEqual([{ at: appointed }])
    // The hour passes. To sleep anew from the start would take another one.
    const sqlite = new Database(join(folder, "journal.db"))
    sqlite.prepare("UPDATE clocks SET wake_at = ?").run(Date.now())
    sqlite.close()
    await Effect.runPromise(sleep)
  })

  it("serves effect/sql: transactions, values, streams, constraint errors", async () => {
    const program = Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, yes INTEGER, bytes BLOB)`
      yield* sql`INSERT INTO t ${sql.insert([{ name: "a", yes: true, bytes: new Uint8Array([1, 2]) }])}`
      const undone = yield* Effect.exit(
        sql.withTransaction(Effect.andThen(sql`INSERT INTO t (name) VALUES ('b')`, Effect.fail("undo"))),
      )
      const clash = yield* Effect.flip(sql`INSERT INTO t (name) VALUES ('a')`)
      const rows = yield* sql`SELECT name, yes FROM t`
      const values = yield* sql`SELECT name, yes FROM t`.values
      return { undone: Exit.isFailure(undone), clash: clash.reason._tag, rows, values }
    }).pipe(Effect.provide(Sqlite.layer({ filename: ":memory:" })))
    expect(await Effect.runPromise(program)).toEqual({
      undone: true,
      clash: "UniqueViolation",
      rows: [{ name: "a", yes: 1 }],
      values: [["a", 1]],
    })
  })
})
