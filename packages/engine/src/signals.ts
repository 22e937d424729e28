/** Ctrl-C and SIGTERM as the two abort signals that `runExperiment` takes. */
export interface InterruptSignals {
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP: checkpoint, mark `interrupted`, exit 130. */
  readonly signal: AbortSignal
  /** Aborted by the second: kill at once. */
  readonly killSignal: AbortSignal
  /** Gives the process its usual reaction to signals back. */
  dispose(): void
}

/**
 * Listens for signals. The second one aborts `killSignal` and ends the process itself right after, with code 130, in
 * case something is stuck.
 */
export function interruptSignals(): InterruptSignals {
  const gentle = new AbortController()
  const hard = new AbortController()
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const
  const listener = () => {
    if (!gentle.signal.aborted) return gentle.abort()
    hard.abort()
    setTimeout(() => process.exit(130), 500).unref()
  }
  for (const name of names) process.on(name, listener)
  return {
    signal: gentle.signal,
    killSignal: hard.signal,
    dispose: () => {
      for (const name of names) process.off(name, listener)
    },
  }
}
