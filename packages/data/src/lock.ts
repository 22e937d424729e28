/**
 * A lock file between processes, so that two that want the same data set fetch it once.
 *
 * The lock saves work; correctness does not rest on it. Canonical files are complete before they get their name, so
 * even two holders at once would only download twice.
 */
import { randomBytes } from "node:crypto"
import { readlinkSync } from "node:fs"
import { link, readFile, rename, stat, unlink, utimes, writeFile } from "node:fs/promises"
import { hostname } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { CacheLocked } from "./errors.ts"

export interface LockOptions {
  /** A lock whose holder has not touched it for this long is dead. Default 30 000 ms. */
  readonly staleMs?: number
  /** How often the holder touches it. Default 2 000 ms. */
  readonly heartbeatMs?: number
  /** Give up after waiting this long. Default one hour. */
  readonly timeoutMs?: number
  readonly pollMs?: number
  readonly onWait?: (holder: string) => void
  readonly signal?: AbortSignal | undefined
}

/** Where process ids mean the same thing: the host, and on Linux its process namespace (containers share host names). */
function processSpace(): string {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`
  } catch {
    return hostname()
  }
}

interface Holder {
  readonly pid: number
  readonly space: string
  readonly token: string
}

const errorCode = (error: unknown) => (error as NodeJS.ErrnoException).code

async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder
  } catch {
    return undefined // gone, or just being written: its age decides
  }
}

function processIsDead(holder: Holder): boolean {
  if (holder.space !== processSpace()) return false
  try {
    process.kill(holder.pid, 0)
    return false
  } catch (error) {
    return errorCode(error) === "ESRCH"
  }
}

async function isStale(path: string, staleMs: number): Promise<Holder | boolean> {
  const holder = await holderOf(path)
  if (holder !== undefined && processIsDead(holder)) return holder
  const status = await stat(path).catch(() => undefined)
  if (status === undefined || Date.now() - status.mtimeMs <= staleMs) return false
  return holder ?? true
}

/**
 * Creates a file that has its content from the first moment on, so that whoever dies here leaves either no lock or one
 * that names its holder. A hard link is refused where the name exists; where the file system has no hard links, the
 * file is created empty and written at once (a holder that dies between the two is found out by its age).
 *
 * @throws EEXIST where the file exists
 */
async function createWhole(path: string, content: string): Promise<void> {
  for (;;) {
    // The ending is that of all half-written files here: a draft left by a killed process is swept with them.
    const draft = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.partial`
    try {
      await writeFile(draft, content, { flag: "wx" })
      const failed = await link(draft, path).then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failed === undefined) return
      const code = errorCode(failed) ?? ""
      if (["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(code)) {
        return await writeFile(path, content, { flag: "wx" }).catch(async (error: unknown) => {
          if (errorCode(error) !== "EEXIST") await unlink(path).catch(() => undefined)
          throw error
        })
      }
      // A holder that tidied up took the draft for a leftover: once more.
      if (code !== "ENOENT") throw failed
    } finally {
      await unlink(draft).catch(() => undefined)
    }
  }
}

/**
 * Takes a dead holder's lock away: it is renamed to a name of our own first, so that of several who see the same dead
 * lock one wins. Should the renamed file turn out to be a fresh lock (another process was faster), it is put back.
 */
async function breakLock(path: string, dead: Holder | true): Promise<void> {
  const aside = `${path}.${process.pid}-${randomBytes(4).toString("hex")}`
  try {
    await rename(path, aside)
  } catch (error) {
    if (errorCode(error) === "ENOENT") return
    throw error
  }
  const taken = await holderOf(aside)
  if (dead !== true && taken !== undefined && taken.token !== dead.token) await rename(aside, path)
  else await unlink(aside).catch(() => undefined)
}

/**
 * Runs `work` while holding the lock file `path`, waiting for another holder and taking over from a dead one. Between
 * waits `done` is asked whether the work has been done by the other one meanwhile; if it gives a value, that is the result.
 *
 * @throws CacheLocked after `timeoutMs`; the signal's reason; whatever `work` throws
 */
export async function withLock<A>(
  path: string,
  done: () => Promise<A | undefined>,
  work: () => Promise<A>,
  options: LockOptions = {},
): Promise<A> {
  const { staleMs = 30_000, heartbeatMs = 2_000, timeoutMs = 3_600_000, pollMs = 100, onWait, signal } = options
  const started = Date.now()
  const holder: Holder = { pid: process.pid, space: processSpace(), token: randomBytes(8).toString("hex") }
  for (;;) {
    signal?.throwIfAborted()
    try {
      await createWhole(path, JSON.stringify(holder))
      break
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error
    }
    const stale = await isStale(path, staleMs)
    if (stale !== false) {
      await breakLock(path, stale)
      continue
    }
    const other = await holderOf(path)
    const name = other === undefined ? "another process" : `process ${other.pid} on ${other.space.split(" ")[0]}`
    if (Date.now() - started > timeoutMs) throw new CacheLocked(path, name, timeoutMs)
    onWait?.(name)
    await sleep(pollMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted())
    if ((await stat(path).catch(() => undefined)) !== undefined) continue
    const result = await done()
    if (result !== undefined) return result
  }
  const heartbeat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, heartbeatMs)
  heartbeat.unref()
  try {
    // Between the last look and taking the lock another process may have finished.
    return (await done()) ?? (await work())
  } finally {
    clearInterval(heartbeat)
    if ((await holderOf(path))?.token === holder.token) await unlink(path).catch(() => undefined)
  }
}
