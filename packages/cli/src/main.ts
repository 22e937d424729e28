/**
 * The `exp` command. Each sub-command is a file in commands/ that declares its arguments when this program starts and
 * imports what it needs only when it is carried out, so that `exp --help` stays fast.
 */
import { Command, CommanderError } from "commander"
import { register as bundle } from "./commands/bundle.ts"
import { register as cancel } from "./commands/cancel.ts"
import { register as check } from "./commands/check.ts"
import { register as compare } from "./commands/compare.ts"
import { register as data } from "./commands/data.ts"
import { register as devices } from "./commands/devices.ts"
import { register as diff } from "./commands/diff.ts"
import { register as doctor } from "./commands/doctor.ts"
import { register as exportRuns } from "./commands/export.ts"
import { register as gc } from "./commands/gc.ts"
import { register as importResults } from "./commands/import.ts"
import { register as logs } from "./commands/logs.ts"
import { register as ls } from "./commands/ls.ts"
import { register as name } from "./commands/name.ts"
import { register as note } from "./commands/note.ts"
import { register as plot } from "./commands/plot.ts"
import { register as rank } from "./commands/rank.ts"
import { register as report } from "./commands/report.ts"
import { register as resume } from "./commands/resume.ts"
import { register as rm } from "./commands/rm.ts"
import { register as run } from "./commands/run.ts"
import { register as show } from "./commands/show.ts"
import { register as sql } from "./commands/sql.ts"
import { register as tag } from "./commands/tag.ts"
import { register as watch } from "./commands/watch.ts"
import { ExitCode } from "./exit-code.ts"
import { programName } from "./program-name.ts"
import { reportError } from "./report-error.ts"

const program = new Command("exp")
  .description("Declare, run and honestly compare machine-learning experiments.")
  .version("0.1.0", "-V, --version", "print the version")
  .option("--db <path>", "the database file (default: $EXP_DB, else runs.db)")
  .option("--json", "print results as JSON on stdout")
  .option("--debug", "print stack traces with errors")
  .showSuggestionAfterError()
  .helpCommand("help [command]", "show help for a command")
  .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
  .addHelpText(
    "after",
    `
Results go to stdout, progress and diagnostics to stderr.
Exit codes: 0 ok, 1 some trials failed, 2 usage or specification error, 130 interrupted.

Start with:  ${programName()} run snella.vit.ts --quick`,
  )
  .exitOverride()

for (const register of [
  run,
  resume,
  check,
  ls,
  show,
  compare,
  plot,
  report,
  diff,
  watch,
  logs,
  cancel,
  tag,
  note,
  name,
  rm,
  sql,
  rank,
  importResults,
  exportRuns,
  data,
  devices,
  bundle,
  gc,
  doctor,
])
  register(program)

for (const command of program.commands) command.exitOverride().showSuggestionAfterError()

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0) // the reader of a pipe has gone: `exp ls | head`
  throw error
})

try {
  if (process.argv.length <= 2) program.outputHelp()
  else await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its message already; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? 0 : ExitCode.usage
  } else {
    process.exitCode = reportError(error, { debug: program.opts<{ debug?: boolean }>().debug === true })
  }
}
