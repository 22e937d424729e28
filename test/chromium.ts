/** A real browser, where the machine has one. */
import { existsSync } from "node:fs"
import { type Browser, chromium } from "playwright-core"

const program = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path))

/** Whether there is a browser to test with: Debian's `chromium`, Chrome, or what the variable CHROMIUM names. */
export const hasChromium = program !== undefined

/** Starts it without a window. */
export const openChromium = (): Promise<Browser> =>
  chromium.launch({ executablePath: program!, args: ["--no-sandbox"], timeout: 60_000 })
