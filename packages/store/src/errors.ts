/**
 * What can go wrong with runs.db. Every error is a class with a `_tag` (so Effect's `catchTag` and a plain `switch`
 * both work), the path it is about, and a message that says what happened, where, and what to do.
 */

export class StoreError extends Error {
  readonly _tag: string = "StoreError"
  readonly path: string
  constructor(path: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.path = path
    this.name = new.target.name
  }
}

/** The file is not a SQLite database, or another program's. It is left untouched. */
export class NotADatabase extends StoreError {
  override readonly _tag = "NotADatabase"
  constructor(path: string, found: string, cause?: unknown) {
    super(
      path,
      `${path} is not a runs database: ${found}. Name another file with --db; this one was not changed.`,
      cause,
    )
  }
}

/** The file was written by a newer version of the program. */
export class NewerDatabase extends StoreError {
  override readonly _tag = "NewerDatabase"
  readonly found: number
  readonly known: number
  constructor(path: string, found: number, known: number) {
    super(
      path,
      `${path} has schema version ${found}, this program knows versions up to ${known}. Update exp, or name another file with --db; this one was not changed.`,
    )
    this.found = found
    this.known = known
  }
}

/** A reader found a file of an older schema; only a writer may migrate it. */
export class OlderDatabase extends StoreError {
  override readonly _tag = "OlderDatabase"
  constructor(path: string, found: number, known: number) {
    super(
      path,
      `${path} has schema version ${found} and needs migrating to ${known}, which opening read-only cannot do. Run any writing command on it once (a back-up copy is made beside it).`,
    )
  }
}

/** Another process held the write lock for longer than the time-out. */
export class DatabaseLocked extends StoreError {
  override readonly _tag = "DatabaseLocked"
  readonly waitedMs: number
  constructor(path: string, waitedMs: number, cause?: unknown) {
    super(
      path,
      `${path} was locked by another process for ${(waitedMs / 1000).toFixed(1)} s. Close the program that holds a transaction open on it (a SQL shell, perhaps) and try again.`,
      cause,
    )
    this.waitedMs = waitedMs
  }
}

/** The file, its directory or the file system does not allow writing, or the store was opened to read. */
export class DatabaseReadOnly extends StoreError {
  override readonly _tag = "DatabaseReadOnly"
  constructor(path: string, why: string, cause?: unknown) {
    super(path, `${path} cannot be written: ${why}. Make it writable, or name another file with --db.`, cause)
  }
}

/** No space left. Nothing recorded is lost; metric writers keep what they hold and try again. */
export class DiskFull extends StoreError {
  override readonly _tag = "DiskFull"
  constructor(path: string, cause?: unknown) {
    super(
      path,
      `No space left to write ${path}. What was recorded before is safe; free some space (exp gc shows what can go) and continue.`,
      cause,
    )
  }
}

/** The file is damaged or cut short. */
export class CorruptDatabase extends StoreError {
  override readonly _tag = "CorruptDatabase"
  constructor(path: string, found: string, cause?: unknown) {
    super(
      path,
      `${path} is damaged: ${found}. Do not write to it; restore a back-up (${path}.backup-*) or rescue it with: sqlite3 ${path} .recover`,
      cause,
    )
  }
}

/** The file to read is not there. */
export class DatabaseMissing extends StoreError {
  override readonly _tag = "DatabaseMissing"
  constructor(path: string) {
    super(path, `${path} does not exist. It is created by the first exp run; name another file with --db.`)
  }
}

/** The directory that should hold the file is not there. */
export class DirectoryMissing extends StoreError {
  override readonly _tag = "DirectoryMissing"
  readonly directory: string
  constructor(path: string, directory: string) {
    super(path, `The directory ${directory} does not exist, so ${path} cannot be created. Make the directory first.`)
    this.directory = directory
  }
}

/** Reading or writing failed in another way (a device error, a file that vanished). */
export class DatabaseFailure extends StoreError {
  override readonly _tag = "DatabaseFailure"
  readonly code: string
  constructor(path: string, code: string, cause: unknown) {
    super(path, `${path}: ${cause instanceof Error ? cause.message : String(cause)} (${code})`, cause)
    this.code = code
  }
}

/** A run was asked to change to a state that does not follow from the one it is in. */
export class IllegalTransition extends StoreError {
  override readonly _tag = "IllegalTransition"
  readonly runId: number
  readonly from: string
  readonly to: string
  constructor(path: string, runId: number, from: string, to: string) {
    super(path, `Run ${runId} is ${from} and cannot become ${to}.`)
    this.runId = runId
    this.from = from
    this.to = to
  }
}

/** The run or stage belongs to somebody else now: its lease ran out and was taken over. */
export class LeaseLost extends StoreError {
  override readonly _tag = "LeaseLost"
  readonly holder: string | null
  constructor(path: string, what: string, holder: string | null) {
    super(path, `${what} is now owned by ${holder ?? "nobody"}; this process no longer may change it.`)
    this.holder = holder
  }
}

/** There is no row of that id. */
export class UnknownRow extends StoreError {
  override readonly _tag = "UnknownRow"
  constructor(path: string, what: string) {
    super(path, `There is no ${what} in ${path}.`)
  }
}

/** An artifact's file is gone or its bytes do not match its hash. */
export class ArtifactDamaged extends StoreError {
  override readonly _tag = "ArtifactDamaged"
  readonly hash: string
  constructor(path: string, hash: string, found: string) {
    super(path, `Artifact ${hash} is damaged: ${found}. It must be produced again.`)
    this.hash = hash
  }
}

/** Turns what SQLite or the file system threw into one of the above. */
export function toStoreError(path: string, thrown: unknown, waitedMs = 0): Error {
  if (thrown instanceof StoreError) return thrown
  const code = (thrown as { code?: unknown })?.code
  if (typeof code !== "string") return thrown instanceof Error ? thrown : new Error(String(thrown))
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  if (isBusy(thrown)) return new DatabaseLocked(path, waitedMs, thrown)
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") return new DiskFull(path, thrown)
  if (code === "SQLITE_NOTADB") return new NotADatabase(path, text, thrown)
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_IOERR_SHORT_READ")
    return new CorruptDatabase(path, text, thrown)
  if (code.startsWith("SQLITE_READONLY") || code === "EROFS" || code === "EACCES" || code === "EPERM")
    return new DatabaseReadOnly(path, text, thrown)
  if (code.startsWith("SQLITE_CANTOPEN") || code.startsWith("SQLITE_IOERR") || code.startsWith("E"))
    return new DatabaseFailure(path, code, thrown)
  return thrown as Error
}

/** Somebody else holds the lock. */
export function isBusy(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown })?.code
  return typeof code === "string" && (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED"))
}
