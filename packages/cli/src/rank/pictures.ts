/** Pictures of a ranking: forest plot, matrix of wins, agreement under missing measurements. */
import { writeFileSync } from "node:fs"
import { extname } from "node:path"
import {
  applyTieRule,
  connectivityOfWins,
  countResults,
  countVotes,
  dropByHash,
  fitConnected,
  kendallTau,
  meanObserved,
  type Ranking,
} from "@exp/ranking"
import { UsageError } from "../report-error.ts"
import type { Pool } from "./pool.ts"
import { Drawing, escapeXml, ticks } from "./svg.ts"

/** At most this many competitors are drawn in a matrix. */
const largestMatrix = 60
const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1)}…`)

/** The forest plot into `drawing` from `top` on; returns where it ends. The axis is cut to ±6 around the middle, no score is. */
function forest(drawing: Drawing, ranking: Ranking, top: number): number {
  const shown = ranking.competitors.filter((c) => c.score !== null)
  const left = 230
  const right = drawing.width - 30
  const scores = shown.map((c) => c.score!)
  const ends = shown.flatMap((c) => [c.low ?? c.score!, c.high ?? c.score!]).filter(Number.isFinite)
  const middle = [...scores].sort((a, b) => a - b)[scores.length >> 1] ?? 0
  const low = Math.max(Math.min(0, ...ends), middle - 6)
  const high = Math.min(Math.max(0, ...ends), middle + 6)
  const pad = Math.max(0.02, (high - low) * 0.04)
  const x = (value: number): number =>
    left + ((Math.min(Math.max(value, low), high) - low + pad) / (high - low + 2 * pad)) * (right - left)
  drawing.text(
    20,
    top,
    ranking.identifiable ? "Strength with interval" : "Strength inside each component (components are not comparable)",
    { size: 14, bold: true },
  )
  let y = top + 24
  let component = -1
  const begin = y - 10
  const titles = ranking.identifiable ? 0 : new Set(shown.map((c) => c.component)).size
  const bottom = y + 20 * shown.length + 18 * titles
  for (const tick of ticks(low, high)) {
    drawing.line(x(tick), begin, x(tick), bottom - 4, tick === 0 ? "#bbb" : "#eee")
    drawing.text(x(tick), bottom + 12, String(tick), { anchor: "middle", size: 11, fill: "#555" })
  }
  for (const c of shown) {
    if (!ranking.identifiable && c.component !== component) {
      component = c.component!
      drawing.text(20, y + 4, `component ${component + 1}`, { fill: "#777", size: 11 })
      y += 18
    }
    drawing.text(left - 10, y + 4, `${c.componentRank}. ${cut(c.name, 30)}`, { anchor: "end" })
    if (c.low !== null && c.high !== null) drawing.line(x(c.low), y, x(c.high), y, "#4477aa", 3)
    drawing.circle(x(c.score!), y, 4, "#223355")
    y += 20
  }
  drawing.text((left + right) / 2, y + 28, "natural-log strength, mean 0", { anchor: "middle", size: 11, fill: "#555" })
  if (ranking.unranked.length > 0) {
    drawing.text(20, y + 46, cut(`without comparison: ${ranking.unranked.join(", ")}`, 120), { size: 11, fill: "#777" })
    y += 18
  }
  return y + 50
}

/** Share of comparisons that the row won against the column: red below, blue above one half, grey never compared. */
function matrix(drawing: Drawing, ranking: Ranking, pool: Pool, top: number): number {
  const shown = ranking.competitors.filter((c) => c.component !== null).slice(0, largestMatrix)
  if (shown.length < 2) return top
  const m = pool.names.length
  if (m > 4096) return top
  const counts = countResults(pool.results)
  if (pool.votes !== undefined) {
    const more = countVotes(pool.votes)
    for (let k = 0; k < counts.wins.length; k++) {
      counts.wins[k]! += more.wins[k]!
      counts.ties[k]! += more.ties[k]!
    }
  }
  const left = 230
  const size = Math.min(22, (drawing.width - left - 30) / shown.length)
  drawing.text(20, top, "Share won by the row against the column, a tie half", { size: 14, bold: true })
  const y0 = top + 120
  shown.forEach((row, r) => {
    drawing.text(left - 10, y0 + (r + 0.7) * size, cut(row.name, 30), { anchor: "end", size: Math.min(11, size) })
    drawing.text(left + (r + 0.7) * size, y0 - 6, cut(row.name, 18), { size: Math.min(11, size), rotate: -60 })
    shown.forEach((column, c) => {
      const at = row.index * m + column.index
      const won = counts.wins[at]!
      const lost = counts.wins[column.index * m + row.index]!
      const total = won + lost + counts.ties[at]!
      const share = total === 0 ? Number.NaN : (won + counts.ties[at]! / 2) / total
      drawing.rect(
        left + c * size,
        y0 + r * size,
        size - 1,
        size - 1,
        r === c ? "#fff" : colour(share),
        r === c
          ? undefined
          : `${row.name} – ${column.name}: ${total === 0 ? "never compared" : `${won} won, ${lost} lost, ${counts.ties[at]!} tied`}`,
      )
    })
  })
  const end = y0 + shown.length * size + 30
  if (ranking.competitors.length > shown.length)
    drawing.text(20, end - 8, `the first ${shown.length} of ${ranking.competitors.length} competitors`, {
      size: 11,
      fill: "#777",
    })
  return end + 10
}

function colour(share: number): string {
  if (Number.isNaN(share)) return "#ddd"
  const t = Math.max(-1, Math.min(1, 2 * share - 1))
  const mix = (to: readonly number[]) => `rgb(${to.map((c) => Math.round(255 + (c - 255) * Math.abs(t))).join(",")})`
  return t < 0 ? mix([178, 24, 43]) : mix([33, 102, 172])
}

/** How the ranking holds when measurements are missing at random: points of [fraction, tau], means over three masks. */
export function agreementUnderMissing(
  pool: Pool,
  tie: "one-each" | "half" | "drop",
): { fraction: number; strengths: number; means: number }[] {
  const m = pool.names.length
  const fit = (results: typeof pool.results): Float64Array | undefined => {
    const wins = applyTieRule(countResults(results), tie)
    const { components, unranked } = connectivityOfWins(wins, m)
    return components.length === 1 && unranked.length === 0 ? fitConnected(wins, m).theta : undefined
  }
  const full = fit(pool.results)
  const fullMean = meanObserved(pool.results)
  if (full === undefined) return []
  return [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99].map((fraction) => {
    let strengths = 0
    let means = 0
    let usable = 0
    for (let seed = 0; seed < 3; seed++) {
      const left = dropByHash(pool.results, fraction, seed)
      const theta = fit(left)
      if (theta === undefined) continue
      usable++
      strengths += kendallTau(theta, full, pool.names)
      means += kendallTau(meanObserved(left), fullMean, pool.names)
    }
    // A mask that disconnects the competitors has no ranking, and the point is left out.
    return usable === 3
      ? { fraction, strengths: strengths / 3, means: means / 3 }
      : { fraction, strengths: Number.NaN, means: Number.NaN }
  })
}

function missing(drawing: Drawing, pool: Pool, tie: Ranking["tie"], top: number): number {
  if (pool.names.length > 400 || pool.results.value.length === 0) return top
  const points = agreementUnderMissing(pool, tie).filter((p) => !Number.isNaN(p.strengths))
  if (points.length < 2) return top
  const [left, right, height] = [80, drawing.width - 160, 220]
  const low = Math.min(0, ...points.flatMap((p) => [p.strengths, p.means]))
  const x = (f: number) => left + f * (right - left)
  const y = (tau: number) => top + 20 + ((1 - tau) / (1 - low)) * height
  drawing.text(20, top, "Kendall's τ to the ranking of all measurements, by the fraction that is missing", {
    size: 14,
    bold: true,
  })
  for (const tick of ticks(low, 1, 5)) {
    drawing.line(left, y(tick), right, y(tick), "#eee")
    drawing.text(left - 8, y(tick) + 4, String(tick), { anchor: "end", size: 11, fill: "#555" })
  }
  for (const tick of ticks(0, 1, 5))
    drawing.text(x(tick), top + 36 + height, String(tick), { anchor: "middle", size: 11, fill: "#555" })
  for (const [name, colour, of] of [
    ["strengths", "#2266aa", (p: (typeof points)[number]) => p.strengths],
    ["plain means", "#cc7722", (p: (typeof points)[number]) => p.means],
  ] as const) {
    drawing.path(
      points.map((p) => [x(p.fraction), y(of(p))]),
      colour,
    )
    drawing.text(x(points.at(-1)!.fraction) + 8, y(of(points.at(-1)!)) + 4, name, { fill: colour, size: 11 })
  }
  drawing.text((left + right) / 2, top + 54 + height, "fraction of measurements missing at random", {
    anchor: "middle",
    size: 11,
    fill: "#555",
  })
  return top + height + 80
}

/** The whole picture as SVG text. */
export function drawRanking(ranking: Ranking, pool: Pool, title: string): string {
  const drawing = new Drawing(860, 100)
  drawing.text(20, 30, title, { size: 17, bold: true })
  drawing.text(
    20,
    50,
    cut(
      `${ranking.comparisons.toLocaleString("en-US")} comparisons on ${ranking.samples.toLocaleString("en-US")} samples; ${ranking.reason}`,
      130,
    ),
    { size: 11, fill: "#555" },
  )
  let y = forest(drawing, ranking, 84)
  y = matrix(drawing, ranking, pool, y + 10)
  y = missing(drawing, pool, ranking.tie, y + 10)
  drawing.height = y
  return drawing.toString()
}

/**
 * Writes the picture in the format that the file's name asks for.
 * @throws UsageError for another ending
 */
export async function writePicture(file: string, ranking: Ranking, pool: Pool, title: string): Promise<void> {
  const ending = extname(file).toLowerCase()
  if (![".svg", ".png", ".html"].includes(ending)) throw new UsageError(`${file}: pictures are .svg, .png or .html.`)
  const svg = drawRanking(ranking, pool, title)
  if (ending === ".svg") writeFileSync(file, `<?xml version="1.0" encoding="UTF-8"?>\n${svg}\n`)
  else if (ending === ".html") writeFileSync(file, page(svg, ranking, title))
  else {
    const { Resvg } = await import("@resvg/resvg-js")
    writeFileSync(
      file,
      new Resvg(svg, {
        fitTo: { mode: "zoom", value: 2 },
        font: { loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" },
      })
        .render()
        .asPng(),
    )
  }
}

function page(svg: string, ranking: Ranking, title: string): string {
  const number = (x: number | null) => (x === null ? "–" : x.toFixed(4))
  const rows = ranking.competitors.map(
    (c) =>
      `<tr><td>${c.rank ?? "–"}</td><td>${escapeXml(c.name)}</td><td>${number(c.score)}</td><td>${number(c.se)}</td><td>${number(c.low)}</td><td>${number(c.high)}</td><td>${c.component === null ? "–" : c.component + 1}</td></tr>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title>
<style>body{font:14px system-ui,sans-serif;margin:2em;max-width:900px}svg{max-width:100%;height:auto}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}td:nth-child(2),th:nth-child(2){text-align:left}</style></head>
<body>${svg}
<table><thead><tr><th>rank</th><th>competitor</th><th>score</th><th>se</th><th>low</th><th>high</th><th>component</th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table>
<p>${escapeXml(ranking.reason)}</p></body></html>
`
}
