import { type BetterSQLite3Database, drizzle } from "drizzle-orm/better-sqlite3"
import type { Store } from "./open-store.ts"
import * as schema from "./schema.ts"

/**
 * Typed ad-hoc queries on an open store with Drizzle's builder. Kept out of the package's root, so that commands which
 * need none do not load the builder.
 */
export function drizzleOf(store: Store): BetterSQLite3Database<typeof schema> {
  return drizzle(store.connection.sqlite, { schema })
}
