import { cacheDirectory, type DataProgress, getDataset, listDatasets, verifyDataset } from "@exp/data"
import { ExitCode } from "./exit-code.ts"
import { json } from "./json.ts"
import { bytes, duration } from "./numbers.ts"
import { programName } from "./program-name.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { style, terminalWidth } from "./terminal.ts"

/** Prints the known data sets and what of them is cached. No network. */
export async function listData(output: { json: boolean }): Promise<void> {
  const rows = await listDatasets()
  if (output.json) {
    process.stdout.write(`${json(rows)}\n`)
    return
  }
  process.stdout.write(
    `${textTable(
      [
        { title: "data set" },
        { title: "state" },
        { title: "download", align: "right" },
        { title: "on disk", align: "right" },
        { title: "description" },
        { title: "from" },
      ],
      rows.map((row) => [
        row.name,
        row.state,
        bytes(row.downloadBytes),
        bytes(row.diskBytes),
        row.description,
        row.carrier,
      ]),
      terminalWidth(),
    )}\n${style("dim", `cache: ${cacheDirectory()} (EXP_DATA_DIR)`, process.stdout)}\n`,
  )
}

/** Shows a download on stderr: redrawn in place on a terminal, a line per tenth elsewhere. */
export function downloadProgress(stream: NodeJS.WriteStream = process.stderr): (progress: DataProgress) => void {
  let last = ""
  return ({ dataset, phase, message, bytes: done, totalBytes }) => {
    const share = totalBytes > 0 ? done / totalBytes : 0
    const downloading = phase === "downloading"
    const tick = downloading
      ? `${dataset} ${phase} ${Math.floor(share * (stream.isTTY ? 100 : 4))}`
      : `${dataset} ${phase}`
    if (tick === last) return
    last = tick
    const text = downloading
      ? `${message}: ${bytes(done)} of ${bytes(totalBytes)} (${Math.floor(share * 100)}%)`
      : message
    stream.write(stream.isTTY ? `\r\u001b[2K${text}${phase === "ready" ? "\n" : ""}` : `${text}\n`)
  }
}

/**
 * Puts data sets into the cache, with progress on stderr.
 *
 * @throws UsageError for --from with several names
 */
export async function getData(names: readonly string[], options: { readonly from?: string } = {}): Promise<void> {
  if (options.from !== undefined && names.length > 1) {
    throw new UsageError("--from gives the archive of one data set; name only that one.")
  }
  for (const name of names) {
    const began = performance.now()
    const found = await getDataset(name, { onProgress: downloadProgress(), from: options.from })
    process.stdout.write(
      `${found.name}  ${bytes(found.diskBytes)}  ${found.path}  ${duration(performance.now() - began)}\n`,
    )
  }
}

/**
 * Recomputes the checksums of cached data sets.
 *
 * @returns the exit code: 1 when one is damaged
 */
export async function verifyData(names: readonly string[], output: { json: boolean }): Promise<number> {
  const wanted =
    names.length > 0 ? names : (await listDatasets()).filter((row) => row.state !== "absent").map((row) => row.name)
  const results = []
  for (const name of wanted) results.push(await verifyDataset(name))
  if (output.json) process.stdout.write(`${json(results)}\n`)
  else if (results.length === 0)
    process.stdout.write(`No data set is cached. Fetch one with: ${programName()} data get fashion-mnist\n`)
  else {
    for (const { name, state, reason, path } of results) {
      const mark = state === "whole" ? style("green", state, process.stdout) : style("red", state, process.stdout)
      process.stdout.write(`${name}  ${mark}  ${reason === "" ? "checksums match" : reason}  ${path}\n`)
    }
    if (results.some((result) => result.state === "damaged")) {
      process.stdout.write(
        `A damaged data set is fetched again by itself at its next use, or now with: ${programName()} data get NAME\n`,
      )
    }
  }
  return results.some((result) => result.state === "damaged") ? ExitCode.trialsFailed : ExitCode.ok
}
