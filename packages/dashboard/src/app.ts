import { Box, Text, useApp, useInput, useWindowSize } from "ink"
import { useEffect, useRef, useState } from "react"
import { h } from "./element.ts"
import { safeText } from "./safe-text.ts"
import type { Snapshot, SnapshotReader } from "./snapshot.ts"
import { helpView } from "./views/help.ts"
import { overviewView } from "./views/overview.ts"
import { runDetailView } from "./views/run-detail.ts"
import { statusOf } from "./views/run-line.ts"
import { runsView } from "./views/runs.ts"
import { systemView } from "./views/system.ts"

const views = ["overview", "runs", "system"] as const
const sorts = ["newest", "metric", "status"] as const
const smoothings = [0, 0.6, 0.9, 0.97] as const

/** What the dashboard is given. */
export interface AppProps {
  readonly reader: SnapshotReader
  /** Experiment to start with; the most recent one otherwise. */
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  /** Milliseconds between looks at the database. */
  readonly interval: number
  /** Cancels a run; without it the key is off. */
  readonly cancel?: ((runId: number) => Promise<void>) | undefined
  /** Line at the bottom from the program that shows the dashboard. */
  readonly status?: (() => string) | undefined
  /** Called for Ctrl-C, which otherwise leaves the dashboard as `q` does. */
  readonly onInterrupt?: (() => void) | undefined
}

/** The whole dashboard. */
export function App(props: AppProps) {
  const { exit } = useApp()
  const { columns, rows } = useWindowSize()
  const [view, setView] = useState<(typeof views)[number]>("overview")
  const [experiment, setExperiment] = useState(props.experiment)
  const [cursor, setCursor] = useState(0)
  const [run, setRun] = useState<number | undefined>(undefined)
  const [filter, setFilter] = useState("")
  const [typing, setTyping] = useState(false)
  const [sort, setSort] = useState<(typeof sorts)[number]>("newest")
  const [logs, setLogs] = useState(false)
  const [logScale, setLogScale] = useState(false)
  const [smoothing, setSmoothing] = useState<(typeof smoothings)[number]>(0)
  const [help, setHelp] = useState(false)
  const [asking, setAsking] = useState<number | undefined>(undefined)
  const [message, setMessage] = useState("")
  const [, tick] = useState(0)
  const width = Math.max(20, columns)
  const height = Math.max(6, rows - 3)

  const state = useRef<Snapshot | { readonly problem: string } | undefined>(undefined)
  state.current = props.reader.read({
    experiment,
    run,
    columns: width,
    metrics: [],
    list: { filter, sort, limit: 1000 },
  })
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), props.interval)
    return () => clearInterval(timer)
  }, [props.interval])

  const now = state.current
  const snapshot = "problem" in now ? undefined : now

  useInput((input, key) => {
    if (key.ctrl && input === "c") return props.onInterrupt === undefined ? exit() : props.onInterrupt()
    if (typing) {
      if (key.return) setTyping(false)
      else if (key.escape) {
        setTyping(false)
        setFilter("")
      } else if (key.backspace || key.delete) setFilter((text) => text.slice(0, -1))
      else if (!key.ctrl && !key.meta && input !== "") setFilter((text) => text + input)
      setCursor(0)
      return
    }
    if (asking !== undefined) {
      const wanted = asking
      setAsking(undefined)
      if (input === "y") {
        setMessage(`cancelling run ${wanted}…`)
        props.cancel?.(wanted).then(
          () => setMessage(`run ${wanted} is cancelled`),
          (error: unknown) => setMessage(error instanceof Error ? error.message : String(error)),
        )
      } else setMessage("")
      return
    }
    setMessage("")
    const move = (by: number) => {
      if (view === "runs" && run === undefined) {
        setCursor((c) => Math.max(0, Math.min((snapshot?.runs.length ?? 1) - 1, c + by)))
      } else if (view === "overview" && snapshot !== undefined) {
        const all = snapshot.experiments
        const at = snapshot.selected === undefined ? -1 : all.indexOf(snapshot.selected)
        const next = all[Math.max(0, Math.min(all.length - 1, at + by))]
        if (next !== undefined) setExperiment({ name: next.name, profile: next.profile })
      }
    }
    const chosen = run ?? snapshot?.runs[cursor]?.id
    if (input === "q") return exit()
    if (input === "?") setHelp((on) => !on)
    else if (key.escape) {
      if (help) setHelp(false)
      else if (logs) setLogs(false)
      else if (run !== undefined) setRun(undefined)
      else if (filter !== "") setFilter("")
      else setView("overview")
    } else if (key.tab) {
      setRun(undefined)
      setView((v) => views[(views.indexOf(v) + (key.shift ? views.length - 1 : 1)) % views.length]!)
    } else if (key.upArrow || input === "k") move(-1)
    else if (key.downArrow || input === "j") move(1)
    else if (key.pageUp) move(-10)
    else if (key.pageDown) move(10)
    else if (key.return) {
      if (view === "overview") {
        setView("runs")
        setCursor(0)
      } else if (view === "runs" && chosen !== undefined) setRun(chosen)
    } else if (input === "/") {
      setView("runs")
      setRun(undefined)
      setTyping(true)
    } else if (input === "s") setSort((s) => sorts[(sorts.indexOf(s) + 1) % sorts.length]!)
    else if (input === "l") {
      if (run === undefined && view === "runs" && chosen !== undefined) setRun(chosen)
      setLogs((on) => !on)
    } else if (input === "y") setLogScale((on) => !on)
    else if (input === "m") setSmoothing((s) => smoothings[(smoothings.indexOf(s) + 1) % smoothings.length]!)
    else if (
      input === "c" &&
      props.cancel !== undefined &&
      chosen !== undefined &&
      (run !== undefined || view === "runs")
    ) {
      const item = snapshot?.detail?.run ?? snapshot?.runs.find((r) => r.id === chosen)
      if (item !== undefined && ["running", "queued"].includes(statusOf(item))) setAsking(chosen)
      else setMessage("only a running run can be cancelled")
    }
  })

  const body = help
    ? helpView()
    : snapshot === undefined
      ? h(Text, { color: "yellow", wrap: "wrap" }, safeText("problem" in now ? now.problem : ""))
      : run !== undefined
        ? runDetailView(snapshot.detail, { logs, smoothing, logScale }, width, height)
        : view === "overview"
          ? overviewView(snapshot, width, height)
          : view === "runs"
            ? runsView(snapshot, { cursor, filter, sort, typing }, width, height)
            : systemView(snapshot, width, height)
  const tabs = views.map((name) =>
    h(Text, { key: name, inverse: name === view && run === undefined, dimColor: name !== view }, ` ${name} `),
  )
  const foot =
    asking === undefined
      ? message || props.status?.() || "tab view  ↑↓ move  enter open  / filter  ? help  q quit"
      : `cancel run ${asking}? y/n`
  return h(
    Box,
    { flexDirection: "column", width, height: rows > 3 ? rows - 1 : undefined, overflow: "hidden" },
    h(Box, { key: "tabs" }, h(Text, { bold: true }, "exp "), ...tabs),
    h(Box, { key: "body", flexDirection: "column", height, overflow: "hidden" }, body),
    h(
      Text,
      {
        key: "foot",
        dimColor: asking === undefined,
        color: asking === undefined ? undefined : "yellow",
        wrap: "truncate",
      },
      safeText(foot),
    ),
  )
}
