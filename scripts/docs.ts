/** Writes the generated pages of docs/ from the code: `node scripts/docs.ts`. A test holds that they are up to date. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { sqlReference } from "@exp/store/reference"

/** The page docs/sql.md. */
export const sqlPage = (): string =>
  `# SQL reference of runs.db

Generated from the schema. The views are the public surface and keep their names and columns; the tables below them are
documented for questions that no view answers, and may change with a new version of the file.

${sqlReference(3).trim()}
`

if (import.meta.main) {
  const folder = join(import.meta.dirname, "..", "docs")
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "sql.md"), sqlPage())
}
