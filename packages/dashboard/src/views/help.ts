import { Box, Text } from "ink"
import { h } from "../element.ts"

const keys = [
  ["tab", "next view: overview, runs, system"],
  ["↑ ↓ j k", "move"],
  ["enter", "open a run"],
  ["esc", "back"],
  ["/", "filter runs by words (esc clears)"],
  ["s", "sort runs: newest, metric, status"],
  ["l", "log of the run"],
  ["y", "logarithmic scale"],
  ["m", "smoothing"],
  ["c", "cancel the run (asks first)"],
  ["?", "this help"],
  ["q", "leave; running trials go on until exp run itself is stopped"],
] as const

/** The keys. */
export function helpView() {
  return h(
    Box,
    { flexDirection: "column" },
    ...keys.map(([key, what]) =>
      h(Box, { key }, h(Text, { color: "cyan" }, key.padEnd(10)), h(Text, { wrap: "truncate" }, what)),
    ),
  )
}
