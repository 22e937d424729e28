import { setTimeout as sleep } from "node:timers/promises"
import { openStore, type Store } from "@exp/store"
import { endedRuns, liveRuns, type WatchedRun } from "@exp/store/watching"
import { duration, number } from "./numbers.ts"
import { plainText } from "./terminal.ts"

const lookEvery = 500
const lineEvery = 5000
/** So long nothing must run before it counts as the end: between two trials nothing runs either. */
const quietMs = 5000

/**
 * Prints how far the experiments are, a line for every run that ends, and how far they are again every few seconds as
 * long as there is something new; ends when nothing has run for five seconds.
 *
 * @throws a store error when the database is missing or cannot be read
 */
export async function watchPlainly(experiment: string | undefined, profile: string, db: string): Promise<void> {
  using store = openStore(db, { mode: "read" })
  const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)
  const watched = () =>
    store.experiments.list().flatMap(({ name, compare }) =>
      store.experiments
        .profiles(name)
        .filter((each) => experiment === undefined || (name === experiment && each === profile))
        .map((each) => ({ name, profile: each, metric: (JSON.parse(compare) as string[])[0] ?? "" })),
    )
  const all = watched()
  if (all.length === 0) {
    say(experiment === undefined ? `${db} holds no experiments yet.` : `${db} holds no ${experiment} (${profile}).`)
    return
  }
  const said = new Map<string, string>()
  const progress = () => {
    for (const each of watched()) {
      const line = progressLine(store, each.name, each.profile)
      const key = `${each.name} ${each.profile}`
      if (said.get(key) === line) continue
      said.set(key, line)
      say(line)
    }
  }
  progress()
  const seen = new Map<number, number | null>()
  const ended = () =>
    watched().flatMap((each) =>
      endedRuns(store.connection, each.name, each.profile, each.metric, 200).map((run) => ({
        run,
        metric: each.metric,
      })),
    )
  for (const { run } of ended()) seen.set(run.id, run.finishedAt)
  let [printed, busy] = [performance.now(), performance.now()]
  if (liveRuns(store.connection, 1).length === 0) return
  while (performance.now() - busy < quietMs) {
    await sleep(lookEvery)
    if (liveRuns(store.connection, 1000).some((run) => !run.lost)) busy = performance.now()
    const fresh = ended().filter(({ run }) => seen.get(run.id) !== run.finishedAt)
    for (const { run, metric } of fresh.reverse()) {
      seen.set(run.id, run.finishedAt)
      say(endLine(run, metric))
    }
    if (performance.now() - printed > lineEvery) {
      progress()
      printed = performance.now()
    }
  }
  progress()
}

function progressLine(store: Store, name: string, profile: string): string {
  const { completed, total, running, failed, lost, meanSeconds, waiting, queued } = store.experiments.progress(
    name,
    profile,
  )
  const left = running > 0 ? ((waiting + queued + running / 2) * meanSeconds) / running : Number.NaN
  return [
    `${name}${profile === "default" ? "" : ` (${profile})`}: ${completed} of ${total} trials completed`,
    running > 0 ? `${running} running` : "",
    failed > 0 ? `${failed} failed` : "",
    lost > 0 ? `${lost} lost` : "",
    Number.isFinite(left) ? `about ${duration(left * 1000)} left` : "",
  ]
    .filter(Boolean)
    .join(", ")
}

function endLine(run: WatchedRun, metric: string): string {
  const took =
    run.startedAt === null || run.finishedAt === null ? "" : ` after ${duration(run.finishedAt - run.startedAt)}`
  const what = `run ${run.id} ${run.condition ?? ""} seed ${run.seed} ${run.status}${took}`
  if (run.status === "completed") return Number.isNaN(run.value) ? what : `${what}: ${metric} ${number(run.value)}`
  return run.error === null ? what : `${what}: ${run.error}`
}
