/** The live dashboard of runs.db in a terminal. */
import { render } from "ink"
import { App } from "./app.ts"
import { h } from "./element.ts"
import { SnapshotReader } from "./snapshot.ts"

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

/** How the dashboard is started. */
export interface DashboardOptions {
  /** Path of the database; it may not exist yet. */
  readonly db: string
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  readonly stdout?: NodeJS.WriteStream | undefined
  readonly stdin?: NodeJS.ReadStream | undefined
  /** Looks per second at the database, at most 10. */
  readonly rate?: number | undefined
  readonly cancel?: ((runId: number) => Promise<void>) | undefined
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
  const reader = new SnapshotReader(options.db)
  const instance = render(
    h(App, {
      reader,
      experiment: options.experiment,
      interval: 1000 / Math.min(10, options.rate ?? 4),
      cancel: options.cancel,
      status: options.status,
      onInterrupt: options.onInterrupt,
    }),
    {
      stdout: options.stdout ?? process.stdout,
      stdin: options.stdin ?? process.stdin,
      exitOnCtrlC: false,
      alternateScreen: true,
    },
  )
  const closed = instance.waitUntilExit().then(() => reader.close())
  return { closed, close: () => instance.unmount() }
}
