import { expect, it } from "vitest"
import type { DataProgress } from "../src/ensure.ts"
import { progressLines } from "../src/progress-lines.ts"

it("a download of a thousand pieces gives a handful of lines with sizes", () => {
  const lines: string[] = []
  const report = progressLines((line) => lines.push(line))
  const progress = (phase: DataProgress["phase"], bytes: number): DataProgress => ({
    ...{ dataset: "mnist", phase, message: `${phase} mnist`, bytes, totalBytes: 1e7 },
  })
  for (let i = 0; i <= 1000; i++) report(progress("downloading", i * 1e4))
  report(progress("converting", 1e7))
  report(progress("writing", 1e7))
  report(progress("ready", 1e7))
  expect(lines).toEqual([
    "downloading mnist: 0.0 MB of 10.0 MB (0%)",
    "downloading mnist: 2.5 MB of 10.0 MB (25%)",
    "downloading mnist: 5.0 MB of 10.0 MB (50%)",
    "downloading mnist: 7.5 MB of 10.0 MB (75%)",
    "downloading mnist: 10.0 MB of 10.0 MB (100%)",
    "converting mnist",
    "writing mnist",
    "ready mnist",
  ])
})
