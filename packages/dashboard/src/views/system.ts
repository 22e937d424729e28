import { bar } from "../braille-chart.ts"
import { fit, truncate } from "../cells.ts"
import { cutLine, emptyLine, heading, type Line, s } from "../line.ts"
import type { MachineState } from "../machine.ts"
import { shortBytes, shortCount, shortDuration } from "../safe-text.ts"
import type { Snapshot } from "../watcher.ts"
import { wholeDuration } from "./overview.ts"
import { progressBar, secondsLeftOf, secondsOf, shareOf, sign, statusOf, titleOf } from "./run-line.ts"

const percent = (share: number): string => (Number.isNaN(share) ? "    …" : `${Math.round(share * 100)}%`.padStart(5))

/** The machine, the database, and what each worker does. */
export function systemView(
  snapshot: Snapshot,
  machine: MachineState | undefined,
  now: number,
  width: number,
  height: number,
): Line[] {
  const cells = width >= 90 ? 24 : 12
  const gauge = (name: string, share: number, text: string): Line => {
    const full = bar(Number.isNaN(share) ? 0 : share, cells)
    return cutLine(
      [
        s(name.padEnd(11), { dim: true }),
        s(full, { color: share > 0.9 ? "yellow" : "green" }),
        s("░".repeat(cells - full.length), { dim: true }),
        s(`${percent(share)}  `, { bold: true }),
        s(text, { dim: true }),
      ],
      width,
    )
  }
  const roomy = height >= 20
  const lines: Line[] = []
  if (roomy) lines.push(heading(`machine ${machine?.host ?? ""}`))
  if (machine === undefined) lines.push([s("…", { dim: true })])
  else {
    lines.push(
      gauge("processor", machine.busy, `${machine.cores} cores, load ${machine.load.toFixed(2)}`),
      gauge(
        "memory",
        machine.usedBytes / machine.totalBytes,
        `${shortBytes(machine.usedBytes)} of ${shortBytes(machine.totalBytes)}`,
      ),
    )
    for (const [i, gpu] of (machine.gpus ?? []).entries()) {
      const memory = Number.isNaN(gpu.usedBytes)
        ? ""
        : `, ${shortBytes(gpu.usedBytes)} of ${shortBytes(gpu.totalBytes)}`
      lines.push(gauge(`gpu ${i}`, gpu.busy, `${gpu.name}${memory}`))
    }
    if (machine.gpus?.length === 0 && roomy)
      lines.push([s(`${"gpu".padEnd(11)}none that nvidia-smi knows`, { dim: true })])
    lines.push(
      gauge(
        "disk",
        1 - machine.diskFree / machine.diskTotal,
        `${shortBytes(machine.diskFree)} free of ${shortBytes(machine.diskTotal)}`,
      ),
    )
  }
  const { counts, live } = snapshot
  if (roomy) lines.push(emptyLine, heading("database"))
  lines.push([
    s(truncate(`${snapshot.path}  ${machine === undefined ? "" : shortBytes(machine.databaseBytes)}`, width)),
  ])
  if (counts !== undefined && (roomy || height >= 14)) {
    lines.push([
      s(
        `${shortCount(counts.experiments)} experiments, ${shortCount(counts.trials)} trials, ${shortCount(counts.runs)} runs, ${shortCount(counts.points)} logged values`,
        { dim: true },
      ),
    ])
  }
  if (roomy) lines.push(emptyLine)
  const queued = snapshot.experiments.reduce((sum, line) => sum + line.queued, 0)
  lines.push([
    ...heading(`workers (${live.length})`),
    s(queued > 0 ? `  ${shortCount(queued)} trials wait for their turn` : "", { dim: true }),
  ])
  if (live.length === 0) lines.push([s("nothing is running", { dim: true })])
  const withProcess = width >= 80
  const cellsOf = width >= 80 ? 10 : 6
  const name = Math.max(14, Math.min(60, width - (withProcess ? 71 : 42)))
  for (const run of live.slice(0, Math.max(0, height - lines.length))) {
    const use = run.host === machine?.host && run.pid !== null ? machine?.processes.get(run.pid) : undefined
    const what = `${titleOf(run)}  ${run.experiment ?? ""}`
    lines.push(
      cutLine(
        [
          s(String(run.id).padStart(5), { dim: true }),
          s(" "),
          sign(statusOf(run)),
          s(` ${fit(what, name)} `),
          ...(withProcess
            ? [
                s(fit(`${run.device ?? ""} ${run.pid ?? ""}`, 14), { dim: true }),
                s(use === undefined ? "".padStart(5) : percent(use.busy)),
                s((use === undefined ? "" : shortBytes(use.bytes)).padStart(9), { dim: true }),
              ]
            : []),
          s(shortDuration(secondsOf(run, now)).padStart(8), { dim: true }),
          s(" "),
          ...progressBar(shareOf(run), cellsOf),
          s(Number.isNaN(secondsLeftOf(run, now)) ? "" : ` ${wholeDuration(secondsLeftOf(run, now))} left`, {
            color: "cyan",
          }),
        ],
        width,
      ),
    )
  }
  return lines
}
