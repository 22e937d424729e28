import { spawnSync } from "node:child_process"
import { cpSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { is } from "drizzle-orm"
import { getTableConfig, SQLiteTable } from "drizzle-orm/sqlite-core"
import { describe, expect, it } from "vitest"
import { finishSql } from "../src/finish-sql.ts"
import { readMigrations } from "../src/migrate.ts"
import * as schema from "../src/schema.ts"
import { temporaryDirectory, temporaryStore } from "./temporary.ts"

const declared = (Object.values(schema) as unknown[])
  .filter((value) => is(value, SQLiteTable))
  .map((table) => getTableConfig(table as SQLiteTable))

describe("the schema", () => {
  it("in the file is the one declared: tables, columns, types, nullability, keys", () => {
    const { sqlite } = temporaryStore().connection
    const live = sqlite.pragma("table_list") as {
      schema: string
      name: string
      type: string
      wr: number
      strict: number
    }[]
    const tables = live.filter((t) => t.type === "table" && !/^(sqlite_|samples_text)/.test(t.name))
    expect(tables.map((t) => t.name).toSorted()).toEqual(declared.map((t) => t.name).toSorted())
    for (const table of declared) {
      const found = tables.find((t) => t.name === table.name)!
      expect(found, table.name).toMatchObject({ strict: 1, wr: schema.withoutRowid.includes(table.name) ? 1 : 0 })
      const columns = sqlite.pragma(`table_info(${table.name})`) as {
        name: string
        type: string
        notnull: number
        pk: number
      }[]
      const keys = table.primaryKeys.flatMap((each) => each.columns.map((column) => column.name))
      expect(columns.map((c) => [c.name, c.type.toLowerCase(), c.notnull === 1, c.pk > 0])).toEqual(
        table.columns.map((c) => [
          c.name,
          c.getSQLType().toLowerCase(),
          c.notNull || keys.includes(c.name),
          c.primary || keys.includes(c.name),
        ]),
      )
      const keyOrder = columns.filter((c) => c.pk > 0).toSorted((a, b) => a.pk - b.pk)
      if (keys.length > 0) expect(keyOrder.map((c) => c.name)).toEqual(keys)
      const references = sqlite.pragma(`foreign_key_list(${table.name})`) as {
        id: number
        table: string
        from: string
        to: string
      }[]
      expect(references.map((r) => `${r.from} ${r.table}.${r.to}`).toSorted()).toEqual(
        table.foreignKeys
          .map((f) => f.reference())
          .map((r) => `${r.columns[0]!.name} ${getTableConfig(r.foreignTable).name}.${r.foreignColumns[0]!.name}`)
          .toSorted(),
      )
      const indexes = (sqlite.pragma(`index_list(${table.name})`) as { name: string; origin: string }[])
        .filter((i) => i.origin === "c")
        .map((i) => i.name)
      for (const index of table.indexes) expect(indexes).toContain(index.config.name)
    }
  })

  it("has no change that the committed migrations lack", () => {
    const root = fileURLToPath(new URL("..", import.meta.url))
    const directory = temporaryDirectory()
    cpSync(join(root, "drizzle"), join(directory, "drizzle"), { recursive: true })
    const made = spawnSync(
      join(root, "../../node_modules/.bin/drizzle-kit"),
      ["generate", "--dialect", "sqlite", "--schema", join(root, "src/schema.ts"), "--out", "./drizzle"],
      { cwd: directory, encoding: "utf8" },
    )
    expect(made.stdout + made.stderr).toContain("No schema changes")
  })

  it("has every table finished in the committed SQL, and finishing again changes nothing", () => {
    const raw =
      "CREATE TABLE `tags` (\n\t`a` text,\n\tPRIMARY KEY(`a`)\n);\nCREATE TABLE `__new_runs` (\n\t`a` text\n);"
    const done = finishSql(raw, schema.withoutRowid)
    expect(done).toBe(
      "CREATE TABLE `tags` (\n\t`a` text,\n\tPRIMARY KEY(`a`)\n) STRICT, WITHOUT ROWID;\nCREATE TABLE `__new_runs` (\n\t`a` text\n) STRICT;",
    )
    expect(finishSql(done, schema.withoutRowid)).toBe(done)
    for (const { sql } of readMigrations()) expect(finishSql(sql, schema.withoutRowid)).toBe(sql)
  })

  it("refuses a value of the wrong type and a dangling reference", () => {
    const { sqlite } = temporaryStore().connection
    expect(() =>
      sqlite.exec(
        "INSERT INTO stages (key, name, version, config, status, started_at) VALUES ('k', 'n', 'one', '{}', 'running', 1)",
      ),
    ).toThrow(/cannot store TEXT/)
    expect(() => sqlite.exec("INSERT INTO samples (dataset_id, key) VALUES (99, 'y')")).toThrow(/FOREIGN KEY/)
  })
})
