/**
 * Draws how the cost of a ranking grows with its size, from the lines of the ranking benchmark:
 *
 *   npm run -s bench -- --filter ranking-fit --json | node scripts/bench/_growth-chart.ts
 */
import { readFileSync } from "node:fs"
import { brailleChart } from "@exp/dashboard/braille-chart"

const rows = readFileSync(0, "utf8")
  .split("\n")
  .filter((line) => line.startsWith("{"))
  .map((line) => JSON.parse(line) as { readonly name: string; readonly ours: number; readonly unit: string })

for (const kind of ["votes", "competitors"]) {
  const found = rows
    .map(({ name, ours, unit }) => ({ size: Number(name.split(`growth/${kind}/`)[1]), ours, unit }))
    .filter(({ size }) => Number.isFinite(size))
    .sort((a, b) => a.size - b.size)
  if (found.length < 2) continue
  const log = found.map(({ size }) => Math.log10(size))
  const chart = brailleChart([{ label: kind, x: log, y: found.map(({ ours }) => ours) }], {
    width: 72,
    height: 14,
    logY: true,
    xLabel: `log10 of the number of ${kind}`,
  })
  const last = found.at(-1)!
  const first = found[0]!
  const exponent = Math.log(last.ours / first.ours) / Math.log(last.size / first.size)
  process.stdout.write(`${last.unit} (log scale) by the number of ${kind}\n${chart.lines.join("\n")}\n`)
  process.stdout.write(
    `${found.map(({ size, ours }) => `${size}: ${+ours.toPrecision(3)} ${last.unit}`).join("   ")}\n`,
  )
  process.stdout.write(`overall exponent ${exponent.toFixed(2)}\n\n`)
}
