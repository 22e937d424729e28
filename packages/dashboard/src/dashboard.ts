/** The live dashboard of runs.db in a terminal. */
import "./production-react.ts"
import { render } from "ink"
import { createElement as h } from "react"
import { App } from "./app.ts"
import { MachineReader } from "./machine.ts"
import { Painter, SilentOutput } from "./screen.ts"
import { Watcher } from "./watcher.ts"

export {
  axisLabel,
  bar,
  brailleChart,
  type Chart,
  type ChartOptions,
  type Curve,
  intervalBar,
  smooth,
} from "./braille-chart.ts"

/** Looks per second at the database. */
const mostLooks = 10

/** How the dashboard is started. */
export interface DashboardOptions {
  /** Path of the database; it may not exist yet. */
  readonly db: string
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  readonly stdout?: NodeJS.WriteStream | undefined
  readonly stdin?: NodeJS.ReadStream | undefined
  /** Looks per second at the database, at most 10, which is the default. */
  readonly rate?: number | undefined
  /** Cancels a run (by its number) or an experiment. */
  readonly cancel?: ((target: string) => Promise<void>) | undefined
  /** Starts a new attempt at the trial of a run; resolves with what to tell the user. */
  readonly retry?: ((runId: number) => Promise<string>) | undefined
  readonly status?: (() => string) | undefined
  /** Called for Ctrl-C, which otherwise leaves the dashboard. */
  readonly onInterrupt?: (() => void) | undefined
}

/** A dashboard on the screen. */
export interface Dashboard {
  /** Resolves when it is closed, by the user or by {@link Dashboard.close}. */
  readonly closed: Promise<void>
  close(): void
}

/** Shows the dashboard on the alternate screen until it is closed; the terminal comes back as it was. */
export function startDashboard(options: DashboardOptions): Dashboard {
  const stdout = options.stdout ?? process.stdout
  const watcher = new Watcher(options.db)
  const output = new SilentOutput(stdout)
  const painter = new Painter(stdout)
  const instance = render(
    h(App, {
      watcher,
      machine: new MachineReader(options.db),
      painter,
      experiment: options.experiment,
      interval: 1000 / Math.min(mostLooks, options.rate ?? mostLooks),
      cancel: options.cancel,
      retry: options.retry,
      status: options.status,
      onInterrupt: options.onInterrupt,
    }),
    {
      stdout: output as unknown as NodeJS.WriteStream,
      stdin: options.stdin ?? process.stdin,
      exitOnCtrlC: false,
      patchConsole: false,
      interactive: false,
    },
  )
  const closed = instance.waitUntilExit().then(() => {
    // Unmounting has given it back already; after an error in a view it has not.
    painter.leave()
    output.close()
    watcher.close()
  })
  return { closed, close: () => instance.unmount() }
}
