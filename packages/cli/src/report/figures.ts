/** The pictures of a report: SVG in the page's own colours, one for wide pages and one for narrow ones. */
import { figureSvg, suitedHeight, type Theme } from "../plot/echarts.ts"
import type { Figure } from "../plot/figures.ts"
import { html, type Markup, raw } from "./html.ts"

/** Colours that stand in for those of the page, which change with light and dark. */
const placeholders: Theme = { text: "#010203", faint: "#010204", background: "transparent" }

const inPageColours = (svg: string): string =>
  svg.replaceAll(placeholders.text, "var(--text)").replaceAll(placeholders.faint, "var(--faint)")

/** A figure with its caption. */
export async function figureMarkup(figure: Figure, caption: string): Promise<Markup> {
  const pictures = await Promise.all(
    (
      [
        ["wide", 860],
        ["narrow", 400],
      ] as const
    ).map(async ([kind, width]) => {
      const height = suitedHeight(figure) * (kind === "narrow" && figure.kind !== "bars" ? 0.75 : 1)
      const svg = await figureSvg({ ...figure, title: caption }, { width, height }, placeholders)
      // What a picture shows is said to those who cannot see it.
      const label = html`${caption}`.markup
      return inPageColours(svg).replace("<svg ", `<svg class="${kind}" role="img" aria-label="${label}" `)
    }),
  )
  return html`<figure>${raw(pictures.join("\n"))}</figure>`
}
