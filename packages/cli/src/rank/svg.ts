/** A small writer of SVG: shapes and text with escaped content, nothing else. */

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

/** Text made safe for XML and HTML: markup is escaped, control characters are dropped. */
export function escapeXml(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: XML may not hold them
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "")
      .replace(/[&<>"']/g, (c) => escapes[c]!)
  )
}

type Attributes = Readonly<Record<string, string | number | undefined>>

const round = (x: number): string => String(+x.toFixed(2))

function element(name: string, attributes: Attributes, content?: string): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? round(value) : escapeXml(value!)}"`)
    .join("")
  return content === undefined ? `<${name}${written}/>` : `<${name}${written}>${content}</${name}>`
}

/** A drawing of growing height: parts are added below each other by whoever draws. */
export class Drawing {
  readonly #parts: string[] = []
  readonly width: number
  height: number

  constructor(width: number, height: number) {
    this.width = width
    this.height = height
  }

  line(x1: number, y1: number, x2: number, y2: number, stroke = "#888", width = 1): void {
    this.#parts.push(element("line", { x1, y1, x2, y2, stroke, "stroke-width": width }))
  }

  rect(x: number, y: number, width: number, height: number, fill: string, title?: string): void {
    const tip = title === undefined ? undefined : element("title", {}, escapeXml(title))
    this.#parts.push(element("rect", { x, y, width, height, fill }, tip))
  }

  circle(cx: number, cy: number, r: number, fill: string): void {
    this.#parts.push(element("circle", { cx, cy, r, fill }))
  }

  path(points: readonly (readonly [number, number])[], stroke: string): void {
    const d = points.map(([x, y], k) => `${k === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("")
    this.#parts.push(element("path", { d, fill: "none", stroke, "stroke-width": 2 }))
  }

  text(
    x: number,
    y: number,
    content: string,
    options: {
      anchor?: "start" | "middle" | "end"
      size?: number
      fill?: string
      rotate?: number
      bold?: boolean
    } = {},
  ): void {
    const { anchor = "start", size = 12, fill = "#222", rotate, bold } = options
    this.#parts.push(
      element(
        "text",
        {
          x,
          y,
          "text-anchor": anchor,
          "font-size": size,
          fill,
          "font-weight": bold === true ? "bold" : undefined,
          transform: rotate === undefined ? undefined : `rotate(${rotate} ${round(x)} ${round(y)})`,
        },
        escapeXml(content),
      ),
    )
  }

  toString(): string {
    return element(
      "svg",
      {
        xmlns: "http://www.w3.org/2000/svg",
        viewBox: `0 0 ${round(this.width)} ${round(this.height)}`,
        width: this.width,
        height: this.height,
        "font-family": "system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif",
      },
      [element("rect", { x: 0, y: 0, width: this.width, height: this.height, fill: "#fff" }), ...this.#parts].join(
        "\n",
      ),
    )
  }
}

/** Round numbers that divide [low, high] into about `count` steps. */
export function ticks(low: number, high: number, count = 6): number[] {
  if (!(high > low)) return [low]
  const raw = (high - low) / count
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw)!
  const found: number[] = []
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    found.push(+(k * step).toPrecision(12))
  return found
}
