/** Finding and ending what a trial has started, whatever process group or session it has moved to. */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

/** Set for every program that a trial starts and so for all its descendants; the value names the run. */
export const tokenVariable = "EXP_RUN_TOKEN"

/** Pids of the living processes that carry the token in their environment. */
export function processesWithToken(token: string): number[] {
  const wanted = `${tokenVariable}=${token}`
  const found: number[] = []
  if (process.platform === "linux") {
    for (const name of readdirSync("/proc")) {
      const pid = Number(name)
      if (!Number.isInteger(pid) || pid === process.pid) continue
      try {
        if (readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(wanted)) found.push(pid)
      } catch {
        // Gone meanwhile, or another user's.
      }
    }
    return found
  }
  try {
    for (const line of execFileSync("ps", ["-E", "-ww", "-o", "pid=,command="]).toString().split("\n")) {
      const pid = Number.parseInt(line, 10)
      if (line.includes(wanted) && pid !== process.pid) found.push(pid)
    }
  } catch {
    // No such option here: the process group has to do.
  }
  return found
}

/** Sends a signal to all processes with the token; the number reached. */
export function signalToken(token: string, signal: NodeJS.Signals): number {
  let reached = 0
  for (const pid of processesWithToken(token)) {
    try {
      process.kill(pid, signal)
      reached++
    } catch {
      // Gone meanwhile.
    }
  }
  return reached
}
