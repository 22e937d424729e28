/** The exit codes of `exp`. */
export const ExitCode = { ok: 0, trialsFailed: 1, usage: 2, interrupted: 130 } as const
