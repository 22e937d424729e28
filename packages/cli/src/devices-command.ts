import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { cudaPeer, type DeviceReport, describeDevices, openDevice } from "@exp/tensor"
import { ExitCode } from "./exit-code.ts"
import { json } from "./json.ts"
import { bytes } from "./numbers.ts"
import { textTable } from "./table.ts"
import { plainText, terminalWidth } from "./terminal.ts"

/** Prints every device with its measured speed, its adapter, and the reason why what is missing is missing. */
export async function listDevices(output: { json: boolean; measure: boolean }): Promise<void> {
  const rows = await describeDevices({ measure: output.measure })
  if (output.json) {
    process.stdout.write(`${json(rows)}\n`)
    return
  }
  const rate = (x: number | undefined) => (x === undefined ? "–" : x < 1 ? x.toPrecision(2) : x.toFixed(1))
  const there = rows.filter((row) => row.available)
  process.stdout.write(
    `${textTable(
      [
        { title: "device" },
        { title: "GFLOP/s", align: "right" },
        { title: "GB/s", align: "right" },
        { title: "what it is" },
      ],
      there.map((row) => [row.name, rate(row.gflops), rate(row.gigabytesPerSecond), row.description]),
      terminalWidth(),
    )}\n`,
  )
  const auto = await openDevice("auto")
  const paragraphs = [
    ...there.flatMap(adapterLine),
    ...rows.filter((row) => !row.available).map((row) => `No ${row.name}: ${row.description}.`),
    `--device auto takes ${auto.name}; a GPU is taken only when it is named.`,
  ]
  auto.dispose()
  process.stdout.write(`\n${paragraphs.map((text) => wrap(plainText(text), terminalWidth())).join("\n")}\n`)
}

function adapterLine({ name, adapter }: DeviceReport): string[] {
  if (!adapter) return []
  const { limits, vendor, architecture, features } = adapter
  const of = [vendor, architecture].filter(Boolean).join(" ")
  const abilities = features.filter((f) => /f16|subgroups$|timestamp/.test(f))
  return [
    `${name}: ${adapter.description}${of ? ` (${of})` : ""}; largest tensor ${bytes(limits.maxBufferSize)}, ` +
      `${bytes(limits.maxStorageBufferBindingSize)} a binding; workgroups of ${limits.maxComputeInvocationsPerWorkgroup} ` +
      `threads with ${bytes(limits.maxComputeWorkgroupStorageSize)} in common` +
      `${abilities.length > 0 ? `; ${abilities.join(", ")}` : ""}.`,
  ]
}

/** Breaks a paragraph at spaces, with continued lines indented. */
function wrap(text: string, width: number): string {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = `  ${word}`
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line].join("\n")
}

/**
 * Installs the optional package of a device into the project, without recording it as a dependency.
 *
 * @returns the exit code
 */
export function installDevice(name: string): number {
  if (name !== "cuda") {
    process.stderr.write(
      `exp devices --install takes cuda, not ${plainText(name)}: what the other devices need comes with npm ci.\n`,
    )
    return ExitCode.usage
  }
  process.stderr.write(
    `Installing ${cudaPeer}; its script fetches TensorFlow's library, several hundred MB, from outside the package registry.\n`,
  )
  const root = join(import.meta.dirname, "..", "..", "..")
  const run = (command: string, args: readonly string[], cwd: string) =>
    spawnSync(command, args, { cwd, stdio: ["ignore", 2, 2], shell: process.platform === "win32" }).status ?? 1
  // Install scripts of packages that the project does not list are not run by npm, so this one is run here.
  const installed = run("npm", ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", cudaPeer], root)
  const folder = join(root, "node_modules", "@tensorflow", "tfjs-node-gpu")
  const fetched = installed === 0 ? run(process.execPath, ["scripts/install.js", "gpu", "download"], folder) : installed
  if (fetched === 0) return ExitCode.ok
  process.stderr.write("The installation failed; see above. Nothing else of the project was changed.\n")
  return ExitCode.trialsFailed
}
