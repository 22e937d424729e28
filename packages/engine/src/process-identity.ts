/**
 * Which process is it, and does it still live? A pid alone says little: pids are used again. Together with the moment
 * the process started, and the machine boot and pid namespace it started in, it names one process for good, and
 * whether it lives is a fact the system can be asked for. No clock is involved.
 */
import { execFileSync } from "node:child_process"
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"

export interface ProcessIdentity {
  readonly host: string
  /** Boot of the machine and pid namespace: pids are comparable only where this is equal. */
  readonly realm: string
  readonly pid: number
  /** When the process started, in whatever unit the system counts. */
  readonly started: string
}

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return undefined
  }
}

function currentRealm(): string {
  const boot = read("/proc/sys/kernel/random/boot_id")?.trim().slice(0, 8)
  if (boot === undefined) return process.platform
  try {
    return `${boot}.${/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0"}`
  } catch {
    return boot
  }
}

/**
 * When the process started, or undefined when there is no such process. A zombie counts as gone: it runs no more code.
 */
export function processStart(pid: number): string | undefined {
  if (process.platform === "linux") {
    const stat = read(`/proc/${pid}/stat`)
    if (stat === undefined) return undefined
    // The command name is in parentheses and may hold anything, so count the fields from its end.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const state = fields[0]
    return state === "Z" || state === "X" ? undefined : fields[19]
  }
  try {
    const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { stdio: ["ignore", "pipe", "ignore"] })
    return text.toString().trim().replaceAll(/\s+/g, "_") || undefined
  } catch {
    return undefined
  }
}

let self: ProcessIdentity | undefined

/** The identity of this process. */
export function thisProcess(): ProcessIdentity {
  self ??= {
    host: hostname(),
    realm: currentRealm(),
    pid: process.pid,
    started: processStart(process.pid) ?? "0",
  }
  return self
}

/** One string for the `owner` columns of runs.db: `host/realm/pid/start`. */
export function formatIdentity(identity: ProcessIdentity): string {
  return [identity.host.replaceAll("/", "_"), identity.realm, identity.pid, identity.started].join("/")
}

/** The inverse of {@link formatIdentity}; undefined for text of another form. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const [host, realm, pid, started, ...rest] = text.split("/")
  if (started === undefined || rest.length > 0 || !/^\d+$/.test(pid ?? "")) return undefined
  return { host: host!, realm: realm!, pid: Number(pid), started }
}

/**
 * Whether the process lives: `alive`, `dead`, or `unknown` when it belongs to another machine or container, where only
 * its lease in the database can tell.
 */
export function liveness(owner: string): "alive" | "dead" | "unknown" {
  const identity = parseIdentity(owner)
  if (identity === undefined) return "unknown"
  const here = thisProcess()
  if (identity.host !== here.host.replaceAll("/", "_")) return "unknown"
  if (identity.realm !== here.realm) {
    // Same machine, earlier boot: nothing of it is left. Another pid namespace of this boot cannot be seen from here.
    return identity.realm.split(".")[0] === here.realm.split(".")[0] ? "unknown" : "dead"
  }
  return processStart(identity.pid) === identity.started ? "alive" : "dead"
}

/** Resident memory of a process in bytes, or undefined where the system does not say. Linux only. */
export function residentMemory(pid: number): number | undefined {
  const pages = read(`/proc/${pid}/statm`)?.split(" ")[1]
  return pages === undefined ? undefined : Number(pages) * 4096
}

/** Command line of a process, its words joined by spaces; empty where the system does not say. */
export function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ") ?? ""
}

/** Sends a signal to a process group; false when it is gone. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal)
    return true
  } catch {
    return false
  }
}
