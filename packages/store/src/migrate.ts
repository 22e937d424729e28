import { readFileSync } from "node:fs"
import type { Connection } from "./connection.ts"
import { NewerDatabase, NotADatabase, OlderDatabase } from "./errors.ts"

/** "expR" in ASCII: marks the file as ours in SQLite's header. */
export const applicationId = 0x65787052

export interface Migration {
  readonly name: string
  readonly sql: string
}

const folder = new URL("../drizzle/", import.meta.url)

/** The migrations of this program in order; the schema version of a file is how many of them it has had. */
export function readMigrations(): readonly Migration[] {
  const journal = JSON.parse(readFileSync(new URL("meta/_journal.json", folder), "utf8")) as {
    entries: readonly { idx: number; tag: string }[]
  }
  return journal.entries
    .toSorted((a, b) => a.idx - b.idx)
    .map(({ tag }) => ({ name: tag, sql: readFileSync(new URL(`${tag}.sql`, folder), "utf8") }))
}

/**
 * Checks that the file is ours and not newer than this program (`NotADatabase`, `NewerDatabase`), and returns its
 * schema version: 0 for an empty file.
 */
export function schemaVersion(connection: Connection, known: number): number {
  const { sqlite } = connection
  const pragma = (name: string) => sqlite.pragma(name, { simple: true }) as number
  const read = () => ({
    version: pragma("user_version"),
    owner: pragma("application_id"),
    tables: sqlite.prepare("SELECT count(*) FROM sqlite_schema").pluck().get() as number,
  })
  // One snapshot: else another process may create its tables between two of these, and they would look like a stranger's.
  const { version, owner, tables } = connection.attempt(sqlite.inTransaction ? read : sqlite.transaction(read))
  if (owner !== applicationId && (tables > 0 || version > 0))
    throw new NotADatabase(connection.path, "it is another program's SQLite file")
  if (version > known) throw new NewerDatabase(connection.path, version, known)
  return version
}

/**
 * Brings the file to this program's schema, all or nothing. Before an existing file is changed, a copy is made beside
 * it (`<path>.backup-v<version>-<time>`). Returns the path of the copy, if one was made.
 */
export function migrate(connection: Connection, migrations: readonly Migration[]): string | undefined {
  const known = migrations.length
  const before = schemaVersion(connection, known)
  if (before === known) return undefined
  if (connection.readonly) throw new OlderDatabase(connection.path, before, known)
  let backup: string | undefined
  if (before > 0) {
    const time = new Date().toISOString().replace(/[^0-9]/g, "")
    backup = `${connection.path}.backup-v${before}-${time}-${process.pid}`
    connection.sql("VACUUM INTO ?").run(backup)
  }
  const { sqlite } = connection
  // Rebuilding a table that others refer to needs the checks off; this is only possible outside of a transaction.
  sqlite.pragma("foreign_keys = OFF")
  try {
    connection.write(() => {
      // Another process may have migrated while this one waited for the lock.
      const now = schemaVersion(connection, known)
      for (const { sql } of migrations.slice(now)) sqlite.exec(sql)
      const broken = sqlite.pragma("foreign_key_check") as readonly { table: string }[]
      if (broken.length > 0) throw new Error(`migration leaves dangling references in ${broken[0]!.table}`)
      sqlite.pragma(`application_id = ${applicationId}`)
      sqlite.pragma(`user_version = ${known}`)
    })
  } finally {
    sqlite.pragma("foreign_keys = ON")
  }
  return backup
}
