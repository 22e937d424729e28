/** `exp sql` as a conversation: a line editor with history and completion over the statements of `exp sql`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import type { Store } from "@exp/store"
import { relations } from "@exp/store/reference"
import { textTable } from "../table.ts"
import { plainText, style, terminalWidth } from "../terminal.ts"
import { complete, dotCommands, modes, relationsOf } from "./completion.ts"
import { printResult, sqlError } from "./print.ts"
import { splitStatements } from "./statements.ts"

const help = `Statements end with ; and may have several lines. Tab completes, the arrow keys bring back earlier ones.
  .tables              tables and views
  .columns NAME        what the columns of one mean
  .schema [NAME]       how they are declared
  .mode ${modes.join("|").padEnd(15)} how results are shown
  .limit N             rows shown at most (0: all)
  .timer on|off        say how long a statement took
  .quit                leave, as does Ctrl-D; Ctrl-C drops the statement`

const historyLength = 1000

/** Where the history is kept: the user's state directory. */
export const historyFile = (): string =>
  join(process.env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "exp", "sql_history")

function readHistory(file: string): string[] {
  try {
    return existsSync(file)
      ? readFileSync(file, "utf8")
          .split("\n")
          .filter((line) => line !== "")
          .reverse()
      : []
  } catch {
    return []
  }
}

/** Runs until the user leaves. */
export async function interactive(
  store: Store,
  options: { readonly mode: string; readonly write: boolean },
): Promise<void> {
  let { mode } = options
  let timer = true
  let limit = 1000
  let held = ""
  const file = historyFile()
  const prompt = () => (held === "" ? (options.write ? "sql (write)> " : "sql> ") : "...> ")
  const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)
  say(
    `${store.path}${options.write ? "" : ", read-only"}. .help shows what can be done; .tables lists what can be asked.`,
  )
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: true,
    history: readHistory(file),
    historySize: historyLength,
    removeHistoryDuplicates: true,
    completer: (line: string): [string[], string] => {
      try {
        return complete(store, held, line)
      } catch {
        // The file may be gone or locked just now: no offers, but no end of the conversation either.
        return [[], line]
      }
    },
  })
  // Statements of several lines come back whole: the editor itself keeps single lines.
  const history = readHistory(file)
  const remember = (text: string) => {
    const line = text.replaceAll(/\s*\n\s*/g, " ").trim()
    if (line === "" || history[0] === line) return
    history.unshift(line)
    try {
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, `${history.slice(0, historyLength).toReversed().join("\n")}\n`, { mode: 0o600 })
    } catch {
      // A home that cannot be written to is no reason to stop.
    }
  }

  const run = (statement: string) => {
    const began = performance.now()
    try {
      const result = store.sql(statement, limit > 0 ? { limit } : {})
      const took = performance.now() - began
      printResult(result, mode, terminalWidth())
      const rows =
        result.columns.length === 0
          ? `${result.changes} rows changed`
          : `${result.cut ? `the first ${result.rows.length} rows; .limit shows more` : `${result.rows.length} ${result.rows.length === 1 ? "row" : "rows"}`}`
      if (timer) process.stdout.write(`${style("dim", `${rows}, ${took.toFixed(1)} ms`, process.stdout)}\n`)
      else if (result.cut) process.stdout.write(`${style("dim", rows, process.stdout)}\n`)
    } catch (error) {
      process.stdout.write(
        `${style("red", "error: ", process.stdout)}${plainText(sqlError(error, statement).message)}\n`,
      )
    }
  }

  const dot = (line: string): boolean => {
    const [command, argument] = line.trim().split(/\s+/) as [string, string?]
    switch (command) {
      case ".quit":
      case ".exit":
        return false
      case ".help":
        say(help)
        break
      case ".tables": {
        const kinds = store.sql(
          "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'samples_text_%' ORDER BY type DESC, name",
        ).rows as [string, string][]
        say(
          textTable(
            [{ title: "kind" }, { title: "name" }, { title: "" }],
            kinds.map(([kind, name]) => [kind, name, relations[name]?.about ?? "internal"]),
            terminalWidth(),
          ),
        )
        break
      }
      case ".columns": {
        const columns = argument === undefined ? undefined : relationsOf(store).get(argument)
        if (columns === undefined)
          say(
            argument === undefined
              ? "Say of which: .columns run_overview"
              : `There is no ${argument}; .tables lists them.`,
          )
        else
          say(
            textTable(
              [{ title: "column" }, { title: "" }],
              columns.map((name) => [name, relations[argument!]?.columns[name] ?? ""]),
              terminalWidth(),
            ),
          )
        break
      }
      case ".schema": {
        const found = store.sql(
          "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (? IS NULL OR tbl_name = ?) ORDER BY name",
          {
            parameters: [argument ?? null, argument ?? null],
          },
        ).rows as [string][]
        say(
          found.length === 0
            ? `There is no ${argument}; .tables lists them.`
            : found.map(([sql]) => `${sql.trim()};`).join("\n"),
        )
        break
      }
      case ".mode":
        if (argument !== undefined && modes.includes(argument)) mode = argument
        else say(`.mode takes ${modes.join(", ")}; it is ${mode}.`)
        break
      case ".limit": {
        const n = Number(argument)
        if (argument !== undefined && Number.isInteger(n) && n >= 0) limit = n
        else say(`.limit takes a whole number, 0 for all rows; it is ${limit}.`)
        break
      }
      case ".timer":
        if (argument === "on" || argument === "off") timer = argument === "on"
        else say(`.timer takes on or off; it is ${timer ? "on" : "off"}.`)
        break
      default:
        say(`There is no ${command}. There are ${dotCommands.join(" ")}.`)
    }
    return true
  }

  await new Promise<void>((done) => {
    const ask = () => {
      lines.setPrompt(prompt())
      lines.prompt()
    }
    lines.on("SIGINT", () => {
      if (held === "" && lines.line === "") say("^C  (Ctrl-D or .quit leaves)")
      else process.stdout.write("^C\n")
      held = ""
      // What was typed goes too; the next prompt begins on a line of its own.
      lines.write(null, { ctrl: true, name: "e" })
      lines.write(null, { ctrl: true, name: "u" })
      ask()
    })
    lines.on("line", (line) => {
      if (held === "" && line.trim().startsWith(".")) {
        remember(line)
        if (dot(line)) ask()
        else lines.close()
        return
      }
      const { complete: statements, rest } = splitStatements(`${held}${line}\n`)
      if (statements.length > 0) remember(`${held}${line}`)
      held = rest
      for (const statement of statements) run(statement)
      ask()
    })
    lines.on("close", () => {
      process.stdout.write("\n")
      done()
    })
    ask()
  })
}
