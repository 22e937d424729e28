import { basename } from "node:path"
import type { WatchedRun } from "@exp/store/watching"
import { useApp, useInput, useWindowSize } from "ink"
import { createElement as h, useEffect, useRef, useState } from "react"
import { wrap } from "./cells.ts"
import { cutLine, fill, type Line, type Span, s, spread } from "./line.ts"
import type { MachineReader, MachineState } from "./machine.ts"
import { type Painter, Screen } from "./screen.ts"
import { helpView } from "./views/help.ts"
import { experimentName, overviewView } from "./views/overview.ts"
import { rankingView } from "./views/ranking.ts"
import { chartGrid, filteredLogs, runDetailView } from "./views/run-detail.ts"
import { statusOf, titleOf } from "./views/run-line.ts"
import { runsView } from "./views/runs.ts"
import { systemView } from "./views/system.ts"
import { type Look, type Request, type Sort, sorts, type View, type Watcher } from "./watcher.ts"

const views: readonly View[] = ["overview", "runs", "ranking", "system"]
const smoothings = [0, 0.6, 0.9, 0.97] as const
/** Milliseconds between new readings of times and of the machine. */
const tickMs = 1000
const messageMs = 8000

/** What the dashboard is given. */
export interface AppProps {
  readonly watcher: Watcher
  readonly machine: MachineReader
  /** Experiment to start with; the most recent one otherwise. */
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  /** Milliseconds between looks at the database. */
  readonly interval: number
  /** Cancels a run (by its number) or an experiment; without it the key is off. */
  readonly cancel?: ((target: string) => Promise<void>) | undefined
  /** Starts a new attempt at the trial of a run and says how; without it the key is off. */
  readonly retry?: ((runId: number) => Promise<string>) | undefined
  /** Line at the bottom from the program that shows the dashboard. */
  readonly status?: (() => string) | undefined
  /** Called for Ctrl-C, which otherwise leaves the dashboard as `q` does. */
  readonly onInterrupt?: (() => void) | undefined
  /** Draws the lines; without one they are Ink text. */
  readonly painter?: Painter | undefined
  /** Size of the screen where it is not that of the terminal. */
  readonly size?: { readonly columns: number; readonly rows: number } | undefined
}

type Scope = View | "logs"

interface Question {
  readonly text: string
  readonly act: () => Promise<string>
  readonly doing: string
}

/** Whether all words of a filter occur in a name. */
const matches = (name: string, filter: string): boolean =>
  filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => name.toLowerCase().includes(word))

/** The whole dashboard. */
export function App(props: AppProps) {
  const { exit } = useApp()
  const terminal = useWindowSize()
  const { columns, rows } = props.size ?? terminal
  const [view, setView] = useState<View>("overview")
  const [experiment, setExperiment] = useState(props.experiment)
  const [chosenRun, setChosenRun] = useState<number | undefined>(undefined)
  const [run, setRun] = useState<number | undefined>(undefined)
  const [filters, setFilters] = useState<Readonly<Partial<Record<Scope, string>>>>({})
  const [typing, setTyping] = useState<Scope | undefined>(undefined)
  const [sort, setSort] = useState<Sort>("newest")
  const [armSort, setArmSort] = useState<"plan" | "best">("plan")
  const [logs, setLogs] = useState(false)
  const [scroll, setScroll] = useState(0)
  const [rankingFrom, setRankingFrom] = useState(0)
  const [firstChart, setFirstChart] = useState(0)
  const [logScale, setLogScale] = useState(false)
  const [smoothing, setSmoothing] = useState<(typeof smoothings)[number]>(0)
  const [help, setHelp] = useState(false)
  const [question, setQuestion] = useState<Question | undefined>(undefined)
  const [message, setMessage] = useState({ text: "", until: 0 })
  const [, draw] = useState(0)
  const width = Math.max(20, columns)
  const ruled = rows >= 20
  const grid = chartGrid(width, rows - 3)

  const request: Request = {
    view,
    experiment,
    run,
    columns: grid.columns,
    charts: grid.across * grid.down,
    firstChart,
    filter: filters.runs ?? "",
    sort,
  }
  const look = props.watcher.look(request)
  const { snapshot } = look
  const shown = useRef<{ look: Look; request: Request; machine: MachineState | undefined; status: string }>(undefined)
  const status = props.status?.() ?? ""
  shown.current = { look, request, machine: shown.current?.machine, status }

  useEffect(() => {
    let ticked = 0
    const tick = () => {
      const last = shown.current!
      const next = props.watcher.look(last.request)
      const now = Date.now()
      const live = next.snapshot?.live ?? []
      const watched = last.request.view === "system" || last.request.run !== undefined
      let changed = next !== last.look || (props.status?.() ?? "") !== last.status
      // Times go on by themselves while something runs, and the machine is looked at while it is shown.
      if (now - ticked >= tickMs) {
        ticked = now
        if (watched) {
          const pids = live.flatMap((each) => (each.pid === null ? [] : [each.pid]))
          last.machine = props.machine.read(pids)
        }
        changed ||= live.length > 0 || watched
      }
      if (changed) draw((n) => n + 1)
    }
    const timer = setInterval(tick, props.interval)
    return () => clearInterval(timer)
  }, [props.interval, props.watcher, props.machine, props.status])

  const say = (text: string) => {
    setMessage({ text, until: Date.now() + messageMs })
    setTimeout(() => draw((n) => n + 1), messageMs + 50).unref()
  }
  const experiments = (snapshot?.experiments ?? []).filter((line) =>
    matches(experimentName(line), filters.overview ?? ""),
  )
  const selected = snapshot?.selected
  const runs = snapshot?.runs ?? []
  const cursor = Math.max(
    0,
    runs.findIndex((each) => each.id === chosenRun),
  )
  const current: WatchedRun | undefined = run === undefined ? runs[cursor] : snapshot?.detail?.run
  const scope: Scope | undefined = run === undefined ? view : logs ? "logs" : undefined

  const open = (id: number | undefined) => {
    setRun(id)
    setFirstChart(0)
    setScroll(0)
  }
  const goTo = (next: View) => {
    open(undefined)
    setLogs(false)
    setHelp(false)
    setView(next)
  }
  const move = (by: number) => {
    if (run !== undefined && logs) {
      const lines = filteredLogs(snapshot?.detail?.logs ?? [], filters.logs ?? "").length
      setScroll((at) => Math.max(0, Math.min(Math.max(0, lines - 1), at - by)))
    } else if (view === "runs") {
      // From where it is by then: several keys may come at once.
      const next = (id: number | undefined) => {
        const at = Math.max(
          0,
          runs.findIndex((each) => each.id === id),
        )
        return runs[Math.max(0, Math.min(runs.length - 1, at + by))]
      }
      // At the top the list is followed: new runs come there.
      setChosenRun((id) => (run === undefined && next(id) === runs[0] ? undefined : next(id)?.id))
      if (run !== undefined) {
        setRun((id) => next(id)?.id ?? id)
        setFirstChart(0)
      }
    } else if (view === "overview") {
      setExperiment((chosen) => {
        const { name, profile } = chosen ?? selected ?? { name: "", profile: "" }
        const at = experiments.findIndex((line) => line.name === name && line.profile === profile)
        const next = experiments[Math.max(0, Math.min(experiments.length - 1, at + by))]
        return next === undefined ? chosen : { name: next.name, profile: next.profile }
      })
      setChosenRun(undefined)
      setRankingFrom(0)
    } else if (view === "ranking") {
      const lines = snapshot?.ranking?.ranking?.competitors.length ?? snapshot?.arms.length ?? 0
      setRankingFrom((at) => Math.max(0, Math.min(lines - 1, at + by)))
    }
  }
  const ask = (text: string, doing: string, act: () => Promise<string>) => setQuestion({ text, doing, act })
  const askCancel = () => {
    const { cancel } = props
    if (cancel === undefined) return say("nothing can be cancelled from here")
    if (view === "overview" && run === undefined) {
      if (selected === undefined) return
      const own = (snapshot?.live ?? []).filter((each) => each.experiment === selected.name)
      if (own.length === 0) return say(`nothing of ${selected.name} is running`)
      return ask(
        `cancel ${selected.name}, with ${own.length} running and ${selected.queued} queued trials?`,
        `cancelling ${selected.name} …`,
        () => cancel(selected.name).then(() => `${selected.name} is cancelled`),
      )
    }
    if (current === undefined || (view !== "runs" && run === undefined)) return
    if (!["running", "queued"].includes(statusOf(current)))
      return say(`run ${current.id} is ${statusOf(current)}: only a live run can be cancelled`)
    ask(`cancel run ${current.id}, ${titleOf(current)}?`, `cancelling run ${current.id} …`, () =>
      cancel(String(current.id)).then(() => `run ${current.id} is cancelled`),
    )
  }
  const askRetry = () => {
    const { retry } = props
    if (current === undefined || (view !== "runs" && run === undefined)) return
    if (retry === undefined) return say("nothing can be started from here")
    const state = statusOf(current)
    if (state === "completed")
      return say(`run ${current.id} is completed: exp show ${current.id} --repro prints the command that repeats it`)
    if (state === "stopped") return say(`run ${current.id} was stopped early by the search: it has its place in it`)
    if (state === "running" || state === "queued") return say(`run ${current.id} is ${state} still`)
    ask(`try run ${current.id}, ${titleOf(current)}, again?`, `starting ${titleOf(current)} again …`, () =>
      retry(current.id),
    )
  }
  const back = () => {
    if (help) setHelp(false)
    else if (run !== undefined && logs) {
      if ((filters.logs ?? "") !== "") setFilters((all) => ({ ...all, logs: "" }))
      else setLogs(false)
    } else if (run !== undefined) open(undefined)
    else if ((filters[view] ?? "") !== "") setFilters((all) => ({ ...all, [view]: "" }))
    else goTo("overview")
  }
  const press = (key: string) => {
    switch (key) {
      case "q":
        return exit()
      case "?":
        return setHelp((on) => !on)
      case "1":
      case "2":
      case "3":
      case "4":
        return goTo(views[Number(key) - 1]!)
      case "k":
        return move(-1)
      case "j":
        return move(1)
      case "g":
        return move(-1e9)
      case "G":
        return run !== undefined && logs ? setScroll(0) : move(1e9)
      case "/": {
        const wanted = scope === undefined || scope === "system" ? "runs" : scope
        if (wanted === "runs") goTo("runs")
        return setTyping(wanted)
      }
      case "s":
        return view === "overview" && run === undefined
          ? setArmSort((by) => (by === "plan" ? "best" : "plan"))
          : view === "runs"
            ? setSort((by) => sorts[(sorts.indexOf(by) + 1) % sorts.length]!)
            : undefined
      case "l":
        if (run === undefined && view === "runs" && current !== undefined) open(current.id)
        if (run !== undefined || (view === "runs" && current !== undefined)) setLogs((on) => !on)
        return setScroll(0)
      case "y":
        return setLogScale((on) => !on)
      case "m":
        return setSmoothing((by) => smoothings[(smoothings.indexOf(by) + 1) % smoothings.length]!)
      case "c":
        return askCancel()
      case "r":
        return askRetry()
      default:
        return undefined
    }
  }

  useInput((input, key) => {
    if (key.ctrl && input === "c") return props.onInterrupt === undefined ? exit() : props.onInterrupt()
    if (typing !== undefined) {
      if (key.return) setTyping(undefined)
      else if (key.escape) {
        setTyping(undefined)
        setFilters((all) => ({ ...all, [typing]: "" }))
      } else if (key.backspace || key.delete)
        setFilters((all) => ({ ...all, [typing]: (all[typing] ?? "").slice(0, -1) }))
      else if (!key.ctrl && !key.meta && input !== "")
        setFilters((all) => ({ ...all, [typing]: (all[typing] ?? "") + input }))
      return
    }
    if (question !== undefined) {
      setQuestion(undefined)
      if (input !== "y" && input !== "Y") return say("")
      say(question.doing)
      question.act().then(say, (error: unknown) => say(error instanceof Error ? error.message : String(error)))
      return
    }
    if (message.text !== "") say("")
    if (key.escape) back()
    else if (key.tab) goTo(views[(views.indexOf(view) + (key.shift ? views.length - 1 : 1)) % views.length]!)
    else if (key.upArrow) move(-1)
    else if (key.downArrow) move(1)
    else if (key.pageUp) move(-10)
    else if (key.pageDown) move(10)
    else if (key.home) move(-1e9)
    else if (key.end) press("G")
    else if (key.leftArrow) setFirstChart((at) => Math.max(0, at - grid.across * grid.down))
    else if (key.rightArrow) {
      const most = Math.max(0, (snapshot?.detail?.curved ?? 0) - 1)
      setFirstChart((at) => (at + grid.across * grid.down <= most ? at + grid.across * grid.down : at))
    } else if (key.return) {
      if (view === "overview") goTo("runs")
      else if (view === "runs" && run === undefined && current !== undefined) open(current.id)
    } else if (!key.ctrl && !key.meta) for (const each of input) press(each)
  })

  const now = Date.now()
  const note =
    question !== undefined
      ? `${question.text}  y/n`
      : message.text !== "" && now < message.until
        ? message.text
        : status
  const noteLines: Line[] =
    typing !== undefined
      ? [
          [
            s("/", { color: "cyan", bold: true }),
            s(filters[typing] ?? ""),
            s(" ", { inverse: true }),
            s("  enter keeps it, esc clears it", { dim: true }),
          ],
        ]
      : note !== ""
        ? [[s(note, question === undefined ? { dim: message.text === "" } : { color: "yellow", bold: true })]]
        : []
  const problem: Line[] =
    look.problem === undefined
      ? []
      : wrap(
          snapshot === undefined
            ? `${look.problem} Waiting for it …`
            : `${look.problem} What is shown is the last state.`,
          width,
          snapshot === undefined ? 4 : 2,
        ).map((text): Line => [s(text, { color: "yellow" })])
  const height = Math.max(3, rows - (ruled ? 2 : 1) - 1 - noteLines.length - problem.length)
  const body = ((): Line[] => {
    if (help) return helpView(width, height)
    if (snapshot === undefined) return []
    if (run !== undefined) {
      return runDetailView(
        snapshot.detail,
        { logs, scroll, filter: filters.logs ?? "", smoothing, logScale, firstChart, now },
        shown.current.machine,
        width,
        height,
      )
    }
    switch (view) {
      case "overview":
        return overviewView(
          snapshot,
          { now, sort: armSort, experiments: experiments.length > 0 ? experiments : snapshot.experiments },
          width,
          height,
        )
      case "runs":
        return runsView(snapshot, { cursor, sort, filter: filters.runs ?? "", now }, width, height)
      case "ranking":
        return rankingView(snapshot, { filter: filters.ranking ?? "", cursor: rankingFrom }, width, height)
      case "system":
        return systemView(snapshot, shown.current.machine, now, width, height)
    }
  })()
  const lines = [
    headerLine(snapshot?.live ?? [], snapshot?.path ?? props.watcher.path, view, help ? "help" : run, width),
    ...(ruled ? [[s("─".repeat(width), { dim: true })]] : []),
    ...problem,
    ...fill(body, height).map((line) => cutLine(line, width)),
    ...noteLines.map((line) => cutLine(line, width)),
    footerLine(scope, run !== undefined, filters[scope ?? "runs"] ?? "", width),
  ]
  return h(Screen, { lines: lines.slice(0, rows), columns, rows, painter: props.painter })
}

function headerLine(
  live: readonly WatchedRun[],
  path: string,
  view: View,
  at: number | "help" | undefined,
  width: number,
): Line {
  const tabs = views.flatMap((name): Span[] => [
    s(
      ` ${name} `,
      name === view && at === undefined
        ? { inverse: true, bold: true }
        : name === view
          ? { bold: true }
          : { dim: true },
    ),
  ])
  const place = at === undefined ? [] : [s(at === "help" ? " › help" : ` › run ${at}`, { bold: true })]
  const running = live.filter((run) => run.status === "running" && !run.lost).length
  const state: Line = [
    s(running > 0 ? "● " : "", { color: "cyan" }),
    s(running > 0 ? `${running} running  ` : "idle  ", { dim: running === 0 }),
    s(basename(path), { dim: true }),
  ]
  return spread([s("exp ", { bold: true, color: "cyan" }), ...tabs, ...place], state, width)
}

const footers: Readonly<Record<string, readonly (readonly [key: string, what: string])[]>> = {
  overview: [
    ["tab", "view"],
    ["↑↓", "experiment"],
    ["enter", "runs"],
    ["s", "sort"],
    ["/", "filter"],
    ["c", "cancel"],
  ],
  runs: [
    ["tab", "view"],
    ["↑↓", "move"],
    ["enter", "open"],
    ["/", "filter"],
    ["s", "sort"],
    ["l", "log"],
    ["c", "cancel"],
    ["r", "retry"],
  ],
  ranking: [
    ["tab", "view"],
    ["↑↓", "scroll"],
    ["/", "filter"],
  ],
  system: [["tab", "view"]],
  run: [
    ["esc", "back"],
    ["↑↓", "run"],
    ["←→", "curves"],
    ["m", "smooth"],
    ["y", "log scale"],
    ["l", "log"],
    ["c", "cancel"],
    ["r", "retry"],
  ],
  logs: [
    ["esc", "back"],
    ["↑↓", "scroll"],
    ["G", "follow"],
    ["/", "filter"],
    ["l", "curves"],
  ],
}

/** The keys that mean something here; the last two always. */
function footerLine(scope: Scope | undefined, inRun: boolean, filter: string, width: number): Line {
  const always = [
    ["?", "help"],
    ["q", "quit"],
  ] as const
  const keys = footers[inRun ? (scope === "logs" ? "logs" : "run") : (scope ?? "run")]!
  const one = ([key, what]: readonly [string, string]): Span[] => [
    s(key, { color: "cyan" }),
    s(` ${what}  `, { dim: true }),
  ]
  const end = always.flatMap(one)
  const room = width - end.reduce((sum, span) => sum + span.text.length, 0)
  const spans: Span[] = filter === "" || scope === undefined ? [] : [s(`filter: ${filter}  `, { color: "yellow" })]
  for (const key of keys) {
    const next = one(key)
    const used = [...spans, ...next].reduce((sum, span) => sum + span.text.length, 0)
    if (used > room) break
    spans.push(...next)
  }
  return [...spans, ...end]
}
