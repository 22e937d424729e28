import { describe, expect, it } from "vitest"
import { SeenCells } from "../src/import/seen-cells.ts"

describe("seen cells", () => {
  it("tell new cells from known ones, through all growth", () => {
    const seen = new SeenCells()
    const n = 120_000
    for (let i = 0; i < n; i++)
      expect(seen.add(`model-${i % 7}`, "d", `s${Math.floor(i / 7)}`, "acc", i)).toBeUndefined()
    for (let i = 0; i < n; i++) expect(seen.add(`model-${i % 7}`, "d", `s${Math.floor(i / 7)}`, "acc", -1)).toBe(i)
  })
  it("keep the fields apart", () => {
    const seen = new SeenCells()
    seen.add("ab", "c", "d", "e", 1)
    for (const [a, b, c, d] of [
      ["a", "bc", "d", "e"],
      ["ab", "cd", "", "e"],
      ["ab", "d", "c", "e"],
      ["ab", "c", "de", ""],
    ] as const) {
      expect(seen.add(a, b, c, d, 2)).toBeUndefined()
    }
  })
})
