/** Figures as files: SVG, PNG, self-contained HTML. */
import { readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { extname } from "node:path"
import { escapeXml } from "../rank/svg.ts"
import { UsageError } from "../report-error.ts"
import {
  dark,
  drawBand,
  drawInterval,
  figureOption,
  figureSvg,
  light,
  type PictureSize,
  suitedHeight,
} from "./echarts.ts"
import type { Figure } from "./figures.ts"

/** JSON that may stand inside a script element: no `<` can end it. */
const scriptJson = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c")

/** A page with the figure as an interactive chart; the library is inside, nothing is fetched. */
export function figurePage(figure: Figure, size: PictureSize, smoothing: number): string {
  const require = createRequire(import.meta.url)
  const library = readFileSync(require.resolve("echarts/dist/echarts.min.js"), "utf8").replaceAll(
    "</script",
    "<\\/script",
  )
  const options = [light, dark].map((theme) => figureOption(figure, size, theme, smoothing))
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(figure.title)}: ${escapeXml(figure.metric)}</title>
<style>
html { background: ${light.background} }
@media (prefers-color-scheme: dark) { html { background: ${dark.background} } }
body { margin: 0 }
#figure { max-width: ${size.width}px; height: ${size.height}px; margin: 0 auto }
</style>
</head>
<body>
<div id="figure"></div>
<script>${library}</script>
<script>
const [light, dark] = [${options.map(scriptJson).join(",\n")}];
const drawBand = ${drawBand.toString()};
const drawInterval = ${drawInterval.toString()};
const wanted = matchMedia("(prefers-color-scheme: dark)");
const chart = echarts.init(document.getElementById("figure"));
const show = () => {
  const option = wanted.matches ? dark : light;
  for (const series of option.series) {
    if (series.type === "custom") series.renderItem = series.id.startsWith("band") ? drawBand : drawInterval;
  }
  chart.setOption(option, true);
};
show();
wanted.addEventListener("change", show);
addEventListener("resize", () => chart.resize());
</script>
</body>
</html>
`
}

/** An SVG as a PNG of twice its size. */
export async function pngOf(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import("@resvg/resvg-js")
  return new Resvg(svg, {
    fitTo: { mode: "zoom", value: 2 },
    font: { loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" },
  })
    .render()
    .asPng()
}

/**
 * Writes a figure in the format that the ending of the file names.
 *
 * @throws UsageError for other endings than .svg, .png, .html
 */
export async function writeFigure(
  file: string,
  figure: Figure,
  options: { readonly width?: number | undefined; readonly height?: number | undefined; readonly smoothing: number },
): Promise<void> {
  const size = { width: options.width ?? 860, height: options.height ?? suitedHeight(figure) }
  switch (extname(file).toLowerCase()) {
    case ".svg":
      writeFileSync(file, await figureSvg(figure, size, light, options.smoothing))
      return
    case ".png":
      writeFileSync(file, await pngOf(await figureSvg(figure, size, light, options.smoothing)))
      return
    case ".html":
      writeFileSync(file, figurePage(figure, size, options.smoothing))
      return
    default:
      throw new UsageError(`--out takes a file that ends in .svg, .png or .html, not ${file}.`)
  }
}
