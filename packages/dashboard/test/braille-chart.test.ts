import { describe, expect, it } from "vitest"
import { axisLabel, bar, brailleChart, intervalBar, smooth } from "../src/braille-chart.ts"

const line = (n: number, f: (i: number) => number) => ({
  label: "line",
  x: Array.from({ length: n }, (_, i) => i),
  y: Array.from({ length: n }, (_, i) => f(i)),
})

describe("braille charts", () => {
  it("have exactly the size asked for", () => {
    for (const [width, height] of [
      [20, 5],
      [60, 12],
      [200, 40],
    ] as const) {
      const { lines } = brailleChart([line(50, (i) => Math.sin(i / 5))], { width, height })
      expect(lines.length).toBe(height)
      for (const text of lines) expect(text.length).toBeLessThanOrEqual(width)
    }
  })
  it("draw a rising line from the bottom left to the top right", () => {
    const { lines, plotLeft } = brailleChart([line(10, (i) => i)], { width: 30, height: 8 })
    expect(lines[0]!.trimEnd().at(-1)).toMatch(/[\u2801-\u28ff]/)
    expect(lines[5]![plotLeft]).toMatch(/[\u2801-\u28ff]/)
    expect(lines[0]!.slice(plotLeft, plotLeft + 5).trim()).toBe("")
  })
  it("label the ends of both axes", () => {
    const text = brailleChart([line(101, (i) => i * 2)], { width: 40, height: 8 }).lines.join("\n")
    expect(text).toContain("200 ┤")
    expect(text).toMatch(/\n\s+0 ┤/)
    expect(text).toMatch(/0\s+100$/)
  })
  it("leave gaps at NaN and show one point, a constant, and nothing", () => {
    const gap = brailleChart([line(9, (i) => (i === 4 ? Number.NaN : 1))], { width: 30, height: 6 })
    expect(gap.lines.join("")).toMatch(/[\u2801-\u28ff] +[\u2801-\u28ff]/)
    expect(brailleChart([line(1, () => 3)], { width: 20, height: 5 }).lines.join("")).toMatch(/[\u2801-\u28ff]/)
    expect(brailleChart([], { width: 20, height: 5 }).lines.join("")).toBe("no values yet")
    expect(brailleChart([line(3, () => Number.NaN)], { width: 20, height: 5 }).lines.join("")).toBe("no values yet")
  })
  it("put powers of ten at equal distances on a log axis", () => {
    const { owners } = brailleChart([line(3, (i) => 10 ** i)], { width: 40, height: 11, logY: true })
    const row = (column: number) => owners.findIndex((cells) => cells[column] === 0)
    const width = owners[0]!.length
    const [first, middle, last] = [row(0), row(Math.floor((width - 1) / 2)), row(width - 1)]
    expect(Math.abs(first - middle - (middle - last))).toBeLessThanOrEqual(1)
  })
})

describe("smoothing", () => {
  it("starts at the first value and leaves a constant alone", () => {
    const flat = smooth([2, 2, 2, 2], 0.9)
    for (const v of flat) expect(v).toBeCloseTo(2, 12)
    expect(smooth([5, 1, 1], 0.5)[0]).toBe(5)
    expect([...smooth([1, Number.NaN, 1], 0.5)][1]).toBeNaN()
  })
})

describe("labels and bars", () => {
  it("stay short", () => {
    for (const v of [0, 1, -0.123456, 12345.678, 1e9, 3.2e-8]) expect(axisLabel(v).length).toBeLessThanOrEqual(7)
  })
  it("fill in eighths", () => {
    expect(bar(0, 4)).toBe("")
    expect(bar(1, 4)).toBe("████")
    expect(bar(0.5, 4)).toBe("██")
    expect(bar(9 / 32, 4)).toBe("█▏")
  })
  it("draw an interval with its point inside", () => {
    expect(intervalBar(0.2, 0.5, 0.8, 0, 1, 11)).toBe("  ───●───  ")
    expect(intervalBar(Number.NaN, Number.NaN, Number.NaN, 0, 1, 3)).toBe("   ")
  })
})
