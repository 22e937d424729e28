/**
 * Turns a screen captured with colours into a picture:
 *
 *   tmux capture-pane -e -p -t SESSION | node scripts/terminal-picture.ts docs/dashboard.svg
 */
import { readFileSync, writeFileSync } from "node:fs"

const colours: Readonly<Record<number, string>> = {
  30: "#6b7280",
  31: "#f47067",
  32: "#6bd68a",
  33: "#e3b341",
  34: "#79b8ff",
  35: "#dcaaff",
  36: "#56d4dd",
  37: "#dce3ea",
  90: "#6b7280",
}

interface Style {
  colour: string
  bold: boolean
  dim: boolean
  italic: boolean
  inverse: boolean
}

const plain: Style = { colour: "#dce3ea", bold: false, dim: false, italic: false, inverse: false }
const paperColour = "#12161c"
const escapeXml = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

/** Applies the codes of one SGR sequence. */
function apply(style: Style, codes: readonly number[]): Style {
  let next = { ...style }
  for (const code of codes.length === 0 ? [0] : codes) {
    if (code === 0) next = { ...plain }
    else if (code === 1) next.bold = true
    else if (code === 2) next.dim = true
    else if (code === 3) next.italic = true
    else if (code === 7) next.inverse = true
    else if (code === 22) next = { ...next, bold: false, dim: false }
    else if (code === 23) next.italic = false
    else if (code === 27) next.inverse = false
    else if (code === 39) next.colour = plain.colour
    else if (colours[code] !== undefined) next.colour = colours[code]
  }
  return next
}

const [output] = process.argv.slice(2)
if (output === undefined) throw new Error("give the path of the SVG to write")
const lines = readFileSync(0, "utf8").replace(/\n+$/, "").split("\n")
const [cellWidth, cellHeight, margin] = [8.4, 19, 20]
/** Height of the bar with the three dots. */
const bar = 30
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what it is about
const sequence = /\u001b\[([\d;]*)m/g
const bare = lines.map((line) => line.replace(sequence, ""))
const columns = Math.max(...bare.map((line) => line.length))
const [width, height] = [columns * cellWidth + 2 * margin, lines.length * cellHeight + 1.2 * margin + bar]

const rows: string[] = []
let style = { ...plain }
for (const [row, line] of lines.entries()) {
  let column = 0
  let at = 0
  const y = bar + row * cellHeight
  const put = (text: string) => {
    if (text === "") return
    const x = margin + column * cellWidth
    column += text.length
    const [ink, paper] = style.inverse ? [paperColour, style.colour] : [style.colour, undefined]
    if (paper !== undefined) {
      rows.push(
        `<rect x="${x}" y="${y}" width="${text.length * cellWidth}" height="${cellHeight}" rx="3" fill="${paper}"/>`,
      )
    }
    if (text.trim() === "") return
    const attributes = [
      style.bold ? ' font-weight="bold"' : "",
      style.italic ? ' font-style="italic"' : "",
      style.dim ? ' opacity="0.55"' : "",
    ].join("")
    rows.push(
      `<text x="${x.toFixed(1)}" y="${y + 14}" fill="${ink}" textLength="${(text.length * cellWidth).toFixed(1)}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"${attributes}>${escapeXml(text)}</text>`,
    )
  }
  for (const match of line.matchAll(sequence)) {
    put(line.slice(at, match.index))
    at = match.index + match[0].length
    style = apply(style, match[1] === "" ? [] : match[1]!.split(";").map(Number))
  }
  put(line.slice(at))
}

writeFileSync(
  output,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10" fill="${paperColour}" stroke="#2b323b"/>
${["#f47067", "#e3b341", "#6bd68a"].map((fill, i) => `<circle cx="${22 + 18 * i}" cy="15" r="5" fill="${fill}" opacity="0.8"/>`).join("\n")}
${rows.join("\n")}
</svg>
`,
)
