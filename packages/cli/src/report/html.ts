/** HTML from templates whose values are escaped: text from data never becomes markup. */
import { escapeXml } from "../rank/svg.ts"

/** A piece of HTML that is safe as it is. */
export interface Markup {
  readonly markup: string
}

type Value = Markup | string | number | undefined | readonly Value[]

/** Markup that this program wrote itself, an SVG or a style sheet. */
export const raw = (markup: string): Markup => ({ markup })

const text = (value: Value): string => {
  if (value === undefined) return ""
  if (typeof value === "string" || typeof value === "number") return escapeXml(String(value))
  return "markup" in value ? value.markup : value.map(text).join("")
}

/** Puts values into a template: text is escaped, markup and lists of markup are not, `undefined` is nothing. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Markup =>
  raw(parts.map((part, i) => part + (i < values.length ? text(values[i]) : "")).join(""))

/** A column of a table. */
export interface HtmlColumn {
  readonly title: string
  readonly align?: "left" | "right"
  /** Long text that may take several lines. */
  readonly wrap?: boolean
}

/** A table that scrolls sideways where the page is narrower; without a head where no column has a title. */
export const table = (columns: readonly HtmlColumn[], rows: readonly (readonly Value[])[]): Markup => {
  const kind = (i: number) => {
    const { align, wrap } = columns[i]!
    return align === "right" ? raw(' class="number"') : wrap === true ? raw(' class="wrap"') : undefined
  }
  const head = columns.some(({ title }) => title !== "")
  return html`<div class="scroll"><table>
${head ? html`<thead><tr>${columns.map((column, i) => html`<th scope="col"${kind(i)}>${column.title}</th>`)}</tr></thead>` : undefined}
<tbody>${rows.map(
    (row) =>
      html`<tr>${row.map((cell, i) => (i === 0 ? html`<th scope="row"${kind(i)}>${cell}</th>` : html`<td${kind(i)}>${cell}</td>`))}</tr>
`,
  )}</tbody>
</table></div>`
}
