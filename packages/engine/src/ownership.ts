/** Judging and ending other coordinators' processes. */
import { commandLine, liveness, parseIdentity, signalGroup } from "./process-identity.ts"

/** Whether the owner of a live run is gone: a fact where the system knows it, else the verdict of the lease. */
export function isGone(owner: string | null, leaseExpiresAt: number | null): boolean {
  const life = owner === null ? "unknown" : liveness(owner)
  if (life !== "unknown") return life === "dead"
  return leaseExpiresAt === null || leaseExpiresAt < Date.now()
}

/**
 * Ends the worker of a dead coordinator, should it still be about. Its arguments name the coordinator, so no process
 * that merely got the same pid is hit.
 */
export function endOrphan(pid: number | null, owner: string | null): void {
  if (pid === null || owner === null || parseIdentity(owner) === undefined) return
  if (commandLine(pid).includes(owner)) signalGroup(pid, "SIGKILL")
}
