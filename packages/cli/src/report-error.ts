import { ExitCode } from "./exit-code.ts"
import { plainText, style } from "./terminal.ts"

/** A mistake in how the command was used: what, where, and what to do, in one message. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

const tagOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? error._tag
    : undefined

/**
 * Prints an error on stderr and returns the exit code for it.
 *
 * Tagged errors and usage errors are messages for the user; anything else is a fault of the program, named as one. Stack
 * traces appear only with `debug`.
 */
export function reportError(error: unknown, options: { readonly debug: boolean }): number {
  const known = error instanceof UsageError || tagOf(error) !== undefined
  const message = error instanceof Error ? error.message : String(error)
  const lead = style("red", "error: ")
  process.stderr.write(`${lead}${plainText(known ? message : `unexpected: ${message}`)}\n`)
  if (options.debug && error instanceof Error) process.stderr.write(`${plainText(error.stack ?? "")}\n`)
  else if (!known) process.stderr.write("This is a fault of exp. Run again with --debug to see where it came from.\n")
  return known ? ExitCode.usage : ExitCode.trialsFailed
}
