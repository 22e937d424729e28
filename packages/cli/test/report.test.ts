import { readFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { openStore } from "@exp/store"
import type { Browser, Page } from "playwright-core"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { hasChromium, openChromium } from "../../../test/chromium.ts"
import { emptyFolder, exp, fixture } from "../../../test/exp.ts"

const hostile = `<script>document.title = "owned"</script><img src=x onerror="document.title='owned'"> & "quotes"`

let cwd: string
beforeAll(async () => {
  cwd = emptyFolder()
  expect((await exp(["run", fixture("curve")], { cwd })).code).toBe(0)
  await exp(["run", fixture("failing"), "--db", "failing.db"], { cwd })
  expect((await exp(["note", "curve.fixture", hostile], { cwd })).code).toBe(0)
  expect((await exp(["report", "curve.fixture"], { cwd })).stdout).toContain("Report written to curve.fixture.html")
  expect((await exp(["plot", "curve.fixture", "--kind", "bars", "--out", "bars.html"], { cwd })).code).toBe(0)
}, 120_000)

const file = (name: string) => join(cwd, name)

describe("exp report", () => {
  it("says what the database holds: verdict, values, config, command", () => {
    const page = readFileSync(file("curve.fixture.html"), "utf8")
    using store = openStore(file("runs.db"), { mode: "read" })
    const run = store.queries.runs({ experiment: "curve.fixture", metrics: ["test/loss"], limit: 1 })[0]!
    expect(page).toContain(`${store.queries.runs({ experiment: "curve.fixture", limit: 100 }).length}</b> of`)
    expect(page).toContain("exp run curve.ts")
    expect(page).toContain(run.codeHash!.slice(0, 12))
    expect(page).toContain("None: no run failed")
    for (const heading of ["Result", "Curves", "Against its cost", "Set-up", "Failures", "Provenance"])
      expect(page).toContain(`<h2>${heading}</h2>`)
  })

  it("needs nothing from elsewhere, and text from data stays text", () => {
    const page = readFileSync(file("curve.fixture.html"), "utf8")
    expect(page).not.toMatch(/<(script|link|iframe|object|img)\b/i)
    expect(page.match(/(src|href)="(?!#)/g)).toBeNull()
    expect(
      page.replaceAll("http://www.w3.org/2000/svg", "").replaceAll("http://www.w3.org/1999/xlink", ""),
    ).not.toMatch(/https?:/)
    expect(page).toContain("&lt;script&gt;")
  })

  it("tells of failures", async () => {
    const outcome = await exp(["report", "failing.fixture", "--db", "failing.db", "--out", "f.html", "--json"], { cwd })
    expect(outcome.stderr).toBe("")
    expect(JSON.parse(outcome.stdout)).toMatchObject({ experiment: "failing.fixture", file: file("f.html") })
    const page = readFileSync(file("f.html"), "utf8")
    const section = page.slice(page.indexOf("<h2>Failures</h2>"), page.indexOf("<h2>Provenance</h2>"))
    expect(section).toContain("<td>failed</td>")
  })

  it("refuses what it cannot do, and says why", async () => {
    const unknown = await exp(["report", "nothing"], { cwd })
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toContain("curve.fixture")
    expect((await exp(["report", "curve.fixture", "--out", "x.pdf"], { cwd })).stderr).toContain("ends in .html")
    expect((await exp(["report", "curve.fixture", "--out", "no/x.html"], { cwd })).stderr).toContain(
      "cannot be written",
    )
  })
})

describe.skipIf(!hasChromium)("in a real browser (needs Debian's chromium, or CHROMIUM=path)", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openChromium()
  }, 120_000)
  afterAll(() => browser?.close())

  /** Opens a page and watches what it asks for and complains about. */
  const open = async (name: string, options: Parameters<Browser["newPage"]>[0]) => {
    const page: Page = await browser.newPage(options)
    const asked: string[] = []
    const complaints: string[] = []
    page.on("request", (request) => asked.push(request.url()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
    const url = pathToFileURL(file(name)).href
    await page.goto(url)
    return { page, url, asked, complaints }
  }

  it.each([
    ["a phone", 360, "light"],
    ["a laptop in the dark", 1280, "dark"],
  ] as const)("shows a report on %s", async (_, width, colorScheme) => {
    const { page, url, asked, complaints } = await open("curve.fixture.html", {
      viewport: { width, height: 800 },
      colorScheme,
    })
    // Written as text: the types of this project are Node's, not a browser's.
    const seen = await page.evaluate<{
      title: string
      overflow: number
      background: string
      figures: number[]
      ink: string
    }>(`({
      title: document.title,
      overflow: document.documentElement.scrollWidth - innerWidth,
      background: getComputedStyle(document.body).backgroundColor,
      figures: [...document.querySelectorAll("figure")].map(
        (figure) => [...figure.querySelectorAll("svg")].filter((svg) => svg.getBoundingClientRect().height > 100).length,
      ),
      ink: getComputedStyle(document.querySelector("figure text")).fill,
    })`)
    expect(seen.title).toBe("curve.fixture")
    expect(seen.overflow).toBeLessThanOrEqual(0)
    expect(seen.figures.length).toBeGreaterThan(2)
    // Of the wide and the narrow picture one is shown.
    expect(new Set(seen.figures)).toEqual(new Set([1]))
    expect(seen.background).toBe(colorScheme === "dark" ? "rgb(21, 23, 27)" : "rgb(255, 255, 255)")
    expect(seen.ink).toBe(colorScheme === "dark" ? "rgb(228, 230, 233)" : "rgb(29, 33, 38)")
    expect(asked).toEqual([url])
    expect(complaints).toEqual([])
    await page.close()
  })

  it("draws the page of a plot, in both colour schemes", async () => {
    const { page, url, asked, complaints } = await open("bars.html", { viewport: { width: 900, height: 600 } })
    const inked = () =>
      page.evaluate<{ colours: number; corner: number }>(`(() => {
        const canvas = document.querySelector("canvas")
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
        const seen = new Set()
        for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2])
        return { colours: seen.size, corner: data[0] }
      })()`)
    const light = await inked()
    expect(light.colours).toBeGreaterThan(20)
    expect(light.corner).toBe(255)
    await page.emulateMedia({ colorScheme: "dark" })
    await expect.poll(async () => (await inked()).corner, { timeout: 30_000 }).toBeLessThan(60)
    expect(asked).toEqual([url])
    expect(complaints).toEqual([])
    await page.close()
  })
})
