/**
 * Makes the next SQL migration from `src/schema.ts`: `npm run generate -w @exp/store -- --name what_changes`.
 *
 * Runs drizzle-kit, then adds what Drizzle cannot declare: every table is STRICT, and those that the schema lists are
 * WITHOUT ROWID. Files that are already finished are left as they are.
 */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { finishSql } from "../src/finish-sql.ts"
import { withoutRowid } from "../src/schema.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const made = spawnSync("drizzle-kit", ["generate", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" })
if (made.status !== 0) process.exit(made.status ?? 1)
for (const file of readdirSync(`${root}/drizzle`).filter((name) => name.endsWith(".sql"))) {
  const path = `${root}/drizzle/${file}`
  const before = readFileSync(path, "utf8")
  const after = finishSql(before, withoutRowid)
  if (after !== before) writeFileSync(path, after)
}
