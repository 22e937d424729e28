import type { DataProgress } from "./ensure.ts"

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/**
 * Turns progress into few lines for a log: one when a phase begins, and while downloading one for every quarter.
 *
 * @param say receives each line
 */
export function progressLines(say: (line: string) => void): (progress: DataProgress) => void {
  let last = ""
  return ({ dataset, phase, message, bytes, totalBytes }) => {
    const quarter = totalBytes > 0 ? Math.floor((4 * bytes) / totalBytes) : 0
    const at = phase === "downloading" ? `${dataset} ${quarter}` : `${dataset} ${phase}`
    if (at === last) return
    last = at
    say(
      phase === "downloading" && totalBytes > 0
        ? `${message}: ${megabytes(bytes)} of ${megabytes(totalBytes)} (${Math.floor((100 * bytes) / totalBytes)}%)`
        : message,
    )
  }
}
