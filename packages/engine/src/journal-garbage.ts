/**
 * What the journal beside runs.db keeps for nothing: once a command has come to its end, nobody asks any more what its
 * workflows have done; results, choices and states are in runs.db. The journal of a command that was cut off stays,
 * since the same command goes on from it, and so does the newest command of each experiment, for `exp resume`.
 */
import { existsSync } from "node:fs"
import Database from "better-sqlite3"

/** How many executions of workflows there are, and the bytes that they and what belongs to them take. */
export interface JournalGarbage {
  readonly count: number
  readonly bytes: number
}

const none: JournalGarbage = { count: 0, bytes: 0 }

/** Executions whose command has ended before the time, and those that no command is known of. */
const finished = `SELECT e.id FROM executions e
  LEFT JOIN invocations i ON i.id = e.payload ->> '$.invocation'
  WHERE e.started_at < @before AND (i.id IS NULL OR i.finished_at < @before)`

/** Ended commands that a later one of the same experiment has taken the place of. */
const superseded = `SELECT i.id FROM invocations i WHERE i.finished_at < @before AND EXISTS
  (SELECT 1 FROM invocations later WHERE later.experiment = i.experiment AND later.started_at > i.started_at)`

const ofFinished = ["activities", "deferreds", "clocks"] as const

function look(db: Database.Database, before: number): JournalGarbage {
  const one = (sql: string) => db.prepare(sql).get({ before }) as { readonly n: number; readonly bytes: number | null }
  const executions = one(
    `SELECT count(*) AS n, sum(length(id) + length(workflow) + length(payload) + coalesce(length(result), 0)) AS bytes
     FROM executions WHERE id IN (${finished})`,
  )
  const results = (["activities", "deferreds"] as const).map((table) =>
    one(
      `SELECT count(*) AS n, sum(length(execution) + length(name) + length(result)) AS bytes
       FROM ${table} WHERE execution IN (${finished})`,
    ),
  )
  return { count: executions.n, bytes: [executions, ...results].reduce((sum, { bytes }) => sum + (bytes ?? 0), 0) }
}

/** Whether the file is a journal already: a coordinator may only just be making it. */
const isJournal = (db: Database.Database): boolean =>
  (
    db
      .prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('executions', 'activities', 'invocations')")
      .get() as { readonly n: number }
  ).n === 3

/**
 * What {@link freeJournalGarbage} would free. Changes nothing.
 *
 * @param db path of runs.db
 * @param graceMs what ended more recently stays
 */
export function findJournalGarbage(db: string, graceMs = 3_600_000): JournalGarbage {
  const file = `${db}-engine`
  if (!existsSync(file)) return none
  const sqlite = new Database(file, { readonly: true, timeout: 10_000 })
  try {
    return isJournal(sqlite) ? look(sqlite, Date.now() - graceMs) : none
  } finally {
    sqlite.close()
  }
}

/** Frees it, and says what that was. Runs beside experiments under way. */
export function freeJournalGarbage(db: string, graceMs = 3_600_000): JournalGarbage {
  const file = `${db}-engine`
  if (!existsSync(file)) return none
  const sqlite = new Database(file, { timeout: 10_000 })
  try {
    if (!isJournal(sqlite)) return none
    const before = Date.now() - graceMs
    const freed = sqlite
      .transaction(() => {
        const found = look(sqlite, before)
        for (const table of ofFinished)
          sqlite.prepare(`DELETE FROM ${table} WHERE execution IN (${finished})`).run({ before })
        sqlite.prepare(`DELETE FROM executions WHERE id IN (${finished})`).run({ before })
        sqlite.prepare(`DELETE FROM invocations WHERE id IN (${superseded})`).run({ before })
        return found
      })
      .immediate()
    try {
      if (freed.count > 0) sqlite.exec("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
    } catch {
      // Somebody is at work on it: the room is used again, though the file stays as large as it is.
    }
    return freed
  } finally {
    sqlite.close()
  }
}
