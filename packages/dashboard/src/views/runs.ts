import { Box, Text } from "ink"
import { h } from "../element.ts"
import type { Snapshot } from "../snapshot.ts"
import { runLine } from "./run-line.ts"

/** The runs of the selected experiment, with the selected one in view. */
export function runsView(
  snapshot: Snapshot,
  state: { readonly cursor: number; readonly filter: string; readonly sort: string; readonly typing: boolean },
  width: number,
  height: number,
) {
  const rows = Math.max(1, height - 2)
  const first = Math.max(0, Math.min(state.cursor - Math.floor(rows / 2), snapshot.runs.length - rows))
  const shown = snapshot.runs.slice(first, first + rows)
  const filter = state.typing || state.filter !== "" ? `  filter: ${state.filter}${state.typing ? "▏" : ""}` : ""
  return h(
    Box,
    { flexDirection: "column" },
    h(
      Text,
      { key: "title", dimColor: !state.typing, wrap: "truncate" },
      `${snapshot.runs.length} runs of ${snapshot.selected?.name ?? "–"}, sorted by ${state.sort}${filter}`,
    ),
    ...shown.map((run, i) =>
      runLine(run, { width, selected: first + i === state.cursor, metric: snapshot.selected?.metric ?? "" }),
    ),
    snapshot.runs.length === 0 ? h(Text, { key: "none", dimColor: true }, "no runs match") : null,
  )
}
