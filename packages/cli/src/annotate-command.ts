/** `exp tag`, `exp note` and `exp name`: what users write on experiments and runs. */
import { readFileSync } from "node:fs"
import { openStore } from "@exp/store"
import { findRun, findTargets, targetText } from "./find-run.ts"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { plainText, terminalWidth } from "./terminal.ts"

interface Output {
  readonly db: string
  readonly json: boolean
}

const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)
const longestTag = 100
const longestNote = 100_000

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
const control = /[\u0000-\u001f\u007f-\u009f]/

/** @throws UsageError for what cannot be a tag or a name */
function word(text: string, what: string): string {
  const trimmed = text.trim()
  if (trimmed === "") throw new UsageError(`A ${what} cannot be empty.`)
  if (trimmed.length > longestTag) throw new UsageError(`A ${what} has at most ${longestTag} characters.`)
  if (control.test(trimmed)) throw new UsageError(`A ${what} cannot hold control characters.`)
  return trimmed
}

/** `exp tag`: adds or removes tags; lists those of a target, or all with how often they are used. */
export async function tagCommand(
  target: string | undefined,
  words: readonly string[],
  options: { readonly remove?: boolean },
  output: Output,
): Promise<void> {
  if (words.length === 0 && options.remove === true) throw new UsageError("Say which tags to remove.")
  using store = openStore(output.db, { mode: words.length === 0 ? "read" : "write" })
  if (target === undefined) {
    const all = store.tags.all()
    if (output.json) process.stdout.write(`${json(all)}\n`)
    else if (all.length === 0) say("No tags yet. Add one with: exp tag RUN WORD")
    else {
      const columns = [{ title: "tag" }, { title: "on" }, { title: "count", align: "right" }] as const
      say(
        textTable(
          columns,
          all.map(({ tag, kind, count }) => [tag, kind, String(count)]),
          terminalWidth(),
        ),
      )
    }
    return
  }
  const tags = [...new Set(words.map((text) => word(text, "tag")))]
  const targets = findTargets(store, [target])
  const key = (one: (typeof targets)[number]) => (one.kind === "experiment" ? one.name : one.id)
  if (tags.length > 0) {
    store.connection.write(() => {
      for (const one of targets) {
        for (const tag of tags) {
          if (options.remove === true) store.tags.remove(one.kind, key(one), tag)
          else store.tags.add(one.kind, key(one), tag)
        }
      }
    })
  }
  const now = targets.map((one) => ({ target: targetText(one), tags: store.tags.of(one.kind, key(one)) }))
  if (output.json) process.stdout.write(`${json(now)}\n`)
  else for (const { target: name, tags: of } of now) say(`${name}: ${of.join(", ") || "no tags"}`)
}

/** `exp note`: writes, clears or prints a note. */
export async function noteCommand(
  target: string,
  text: readonly string[],
  options: { readonly clear?: boolean },
  output: Output,
): Promise<void> {
  const written = text.length === 1 && text[0] === "-" ? readFileSync(0, "utf8") : text.join(" ")
  const note = written.trim()
  if (options.clear === true && note !== "") throw new UsageError("Give a note, or --clear, not both.")
  if (text.length > 0 && note === "") throw new UsageError("The note is empty; --clear takes a note away.")
  if (note.length > longestNote) throw new UsageError(`A note has at most ${longestNote} characters.`)
  const writing = note !== "" || options.clear === true
  using store = openStore(output.db, { mode: writing ? "write" : "read" })
  const targets = findTargets(store, [target])
  if (writing) {
    store.connection.write(() => {
      for (const one of targets) {
        if (one.kind === "experiment") store.experiments.note(one.name, note === "" ? null : note)
        else store.runs.note(one.id, note === "" ? null : note)
      }
    })
  }
  const now = targets.map((one) => ({
    target: targetText(one),
    note: (one.kind === "experiment" ? store.experiments.get(one.name)?.note : store.runs.get(one.id)?.note) ?? null,
  }))
  if (output.json) process.stdout.write(`${json(now)}\n`)
  else for (const { target: name, note: of } of now) say(`${name}: ${of ?? "no note"}`)
}

/** `exp name`: names a run, takes its name away, or prints it. A name belongs to one run. */
export async function nameCommand(
  run: string,
  name: string | undefined,
  options: { readonly clear?: boolean },
  output: Output,
): Promise<void> {
  if (name !== undefined && options.clear === true) throw new UsageError("Give a name, or --clear, not both.")
  const wanted = name === undefined ? undefined : word(name, "name")
  if (wanted !== undefined && /^\d[\d,-]*$/.test(wanted))
    throw new UsageError(`${wanted} would be taken for a run number: a name has a letter.`)
  const writing = wanted !== undefined || options.clear === true
  using store = openStore(output.db, { mode: writing ? "write" : "read" })
  const { id } = findRun(store, run)
  if (wanted !== undefined) {
    if (store.experiments.get(wanted) !== undefined) throw new UsageError(`${wanted} is the name of an experiment.`)
    const other = store.runs.named(wanted).find((one) => one !== id)
    if (other !== undefined)
      throw new UsageError(`Run ${other} is called ${wanted} already; exp name ${other} --clear takes it away.`)
  }
  if (writing) store.runs.rename(id, wanted ?? null)
  const now = store.runs.get(id)!.name
  if (output.json) process.stdout.write(`${json({ run: id, name: now })}\n`)
  else say(`run ${id}: ${now ?? "no name"}`)
}
