import { availableParallelism, freemem, loadavg, totalmem } from "node:os"
import { Box, Text } from "ink"
import { bar } from "../braille-chart.ts"
import { h } from "../element.ts"
import { safeText, shortBytes } from "../safe-text.ts"
import type { Snapshot } from "../snapshot.ts"
import { runLine } from "./run-line.ts"

/** The machine, the database, and what each worker does. */
export function systemView(snapshot: Snapshot, width: number, height: number) {
  const cores = availableParallelism()
  const load = loadavg()[0] ?? 0
  const used = 1 - freemem() / totalmem()
  const line = (name: string, share: number, text: string) =>
    h(
      Box,
      { key: name },
      h(Text, { dimColor: true }, name.padEnd(10)),
      h(Text, { color: share > 0.9 ? "yellow" : "green" }, bar(share, 24).padEnd(24, "░")),
      h(Text, { wrap: "truncate" }, `  ${text}`),
    )
  const { database, overview } = snapshot
  return h(
    Box,
    { flexDirection: "column" },
    line("processor", load / cores, `load ${load.toFixed(2)} on ${cores} cores`),
    line("memory", used, `${shortBytes(totalmem() - freemem())} of ${shortBytes(totalmem())}`),
    h(
      Text,
      { key: "db", wrap: "truncate" },
      `database  ${safeText(database.path)}  ${shortBytes(database.bytes)}  ${database.runs} runs`,
    ),
    h(Text, { key: "workers", dimColor: true }, "workers"),
    ...(overview?.running ?? [])
      .slice(0, Math.max(1, height - 5))
      .map((run) => runLine(run, { width, selected: false, metric: snapshot.selected?.metric ?? "" })),
    (overview?.running.length ?? 0) === 0 ? h(Text, { key: "idle", dimColor: true }, "nothing is running") : null,
  )
}
