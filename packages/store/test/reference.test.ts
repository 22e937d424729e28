import { eq } from "drizzle-orm"
import { describe, expect, it } from "vitest"
import { drizzleOf } from "../src/drizzle.ts"
import { internal, relations, sqlReference } from "../src/reference.ts"
import { runs } from "../src/schema.ts"
import { plant, temporaryStore } from "./temporary.ts"

describe("the SQL reference", () => {
  it("names every table and view of the database, with every column in its order", () => {
    const { sqlite } = temporaryStore().connection
    const live = (sqlite.pragma("table_list") as { name: string; type: string }[]).filter(
      (each) => !/^sqlite_|^samples_text_/.test(each.name),
    )
    expect(live.map((each) => each.name).toSorted()).toEqual([...Object.keys(relations), ...internal].toSorted())
    for (const [name, relation] of Object.entries(relations)) {
      expect(live.find((each) => each.name === name)!.type, name).toBe(relation.kind)
      const columns = (sqlite.pragma(`table_info(${name})`) as { name: string }[]).map((column) => column.name)
      expect(Object.keys(relation.columns), name).toEqual(columns)
    }
  })

  it("is written as one markdown section a relation", () => {
    const text = sqlReference(4)
    expect(text.match(/^#### /gm)).toHaveLength(Object.keys(relations).length)
    expect(text).toContain("#### `leaderboard` (view)")
    expect(text).toContain("| `diverged` | seeds that ended in NaN or infinity: not in the mean |")
  })
})

describe("Drizzle's builder", () => {
  it("works on an open store", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    const runId = store.runs.start({ trialId: trialId!, device: "cpu" })
    const found = drizzleOf(store)
      .select({ device: runs.device, status: runs.status })
      .from(runs)
      .where(eq(runs.id, runId))
      .all()
    expect(found).toEqual([{ device: "cpu", status: "running" }])
  })
})
