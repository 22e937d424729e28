import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { encodeCanonical } from "../src/canonical.ts"
import { type DataProgress, ensureDataset } from "../src/ensure.ts"
import {
  CacheDiskFull,
  CacheNotWritable,
  DatasetDamaged,
  DatasetNotCached,
  DownloadFailed,
  IntegrityMismatch,
} from "../src/errors.ts"
import { archiveOf, LocalRegistry } from "./support/registry.ts"
import { tinyEntry, tinyFiles } from "./support/tiny.ts"

const script = join(import.meta.dirname, "support", "fetch-tiny.ts")
let archive: Uint8Array
let archivePath: string
let registry: LocalRegistry
let directory: string
const environment = { ...process.env }

beforeAll(async () => {
  archive = await archiveOf(tinyFiles)
  archivePath = join(mkdtempSync(join(tmpdir(), "exp-carrier-")), "tiny.tgz")
  writeFileSync(archivePath, archive)
})
beforeEach(async () => {
  registry = await LocalRegistry.start("tiny-images", archive)
  directory = mkdtempSync(join(tmpdir(), "exp-data-"))
  process.env["npm_config_registry"] = registry.url
  process.env["npm_config_fetch_retries"] = "0"
})
afterEach(() => registry.stop())
afterAll(() => {
  process.env = environment
})

const images = [0, 50, 100, 150, 1, 51, 101, 151]
const path = () => join(directory, "tiny.v1.bin")
const files = () => readdirSync(directory).sort()
const load = (options = {}) => ensureDataset(tinyEntry(archive), { directory, ...options })
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error as Error,
  )

async function inChild(): Promise<{ images?: number[]; phases?: string[]; error?: string }> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, archivePath, directory])
  return JSON.parse(stdout)
}

describe("a data set that is not cached", () => {
  test("is fetched from the registry of npm's settings, with progress in bytes, and kept", async () => {
    const seen: DataProgress[] = []
    const file = await load({ onProgress: (p: DataProgress) => seen.push(p) })
    expect([...file.array("train.images")]).toEqual(images)
    expect(registry.tarballRequests).toBe(1)
    expect([...new Set(seen.map((p) => p.phase))]).toEqual(["downloading", "converting", "writing", "ready"])
    expect(seen[0]).toMatchObject({ bytes: 0, totalBytes: archive.length })
    expect(seen.filter((p) => p.phase === "downloading").at(-1)?.bytes).toBe(archive.length)
    expect(files()).toEqual(["tiny.v1.bin"])
  })

  test("is read from a file that the user has", async () => {
    const file = await load({ from: archivePath, offline: true })
    expect([...file.array("train.images")]).toEqual(images)
    expect(registry.requests).toEqual([])
    await expect(load({ from: script, force: true })).rejects.toBeInstanceOf(IntegrityMismatch)
    await expect(load({ from: "/no/such/file", force: true })).rejects.toBeInstanceOf(DownloadFailed)
  })

  test("offline says which package, which directory and which command", async () => {
    const error = await failure(load({ offline: true }))
    expect(error).toBeInstanceOf(DatasetNotCached)
    for (const part of ["tiny-images@1.0.0", directory, "exp data get tiny", "EXP_DATA_DIR"])
      expect(error?.message).toContain(part)
    expect(registry.requests).toEqual([])
    expect(files()).toEqual([])
  })

  test("with a registry that is not there says so, and what to check", async () => {
    await registry.stop()
    const error = await failure(load())
    expect(error).toBeInstanceOf(DownloadFailed)
    expect(error?.message).toMatch(/ECONNREFUSED[\s\S]*registry proxy/)
    expect(files()).toEqual([])
  })

  test("with a registry that lacks the package says so", async () => {
    const entry = tinyEntry(archive, { spec: "tiny-missing@1.0.0" } as object)
    const error = await failure(ensureDataset(entry, { directory }))
    expect(error).toBeInstanceOf(DownloadFailed)
    expect(error?.message).toContain("does not have this package")
  })

  test.each(["other bytes", "half of the bytes"])("is not kept when %s arrive", async (what) => {
    registry.served = what === "other bytes" ? await archiveOf({ "images.bin": "x" }) : archive.subarray(0, 100)
    expect(await failure(load())).toBeInstanceOf(IntegrityMismatch)
    expect(files()).toEqual([])
    registry.served = archive
    expect([...(await load()).array("train.images")]).toEqual(images)
  })

  test("is not kept when the carrier does not hold what it should", async () => {
    const empty = await archiveOf({ "package.json": "{}" })
    const from = join(directory, "empty.tgz")
    writeFileSync(from, empty)
    await expect(ensureDataset(tinyEntry(empty), { directory, from })).rejects.toBeInstanceOf(IntegrityMismatch)
    expect(files()).toEqual(["empty.tgz"])
  })

  test("is not kept when it converts to something else than is pinned", async () => {
    const entry = { ...tinyEntry(archive), root: "0".repeat(64) }
    await expect(ensureDataset(entry, { directory })).rejects.toBeInstanceOf(IntegrityMismatch)
    expect(files()).toEqual([])
  })

  test("stops fetching when told to", async () => {
    registry.delayMs = 300
    const error = await failure(load({ signal: AbortSignal.timeout(100) }))
    expect(error?.name).toBe("TimeoutError")
    expect(files()).toEqual([])
  })
})

describe("a cached data set", () => {
  beforeEach(async () => {
    await load()
    registry.requests.length = 0
  })

  test("is read without the network", async () => {
    await registry.stop()
    expect([...(await load()).array("train.images")]).toEqual(images)
    expect([...(await load({ offline: true })).array("train.images")]).toEqual(images)
  })

  test("is read from a directory that can not be written", async () => {
    chmodSync(directory, 0o555)
    try {
      expect([...(await load()).array("train.images")]).toEqual(images)
    } finally {
      chmodSync(directory, 0o755)
    }
  })

  const damages: Record<string, () => void> = {
    "one flipped bit": () => {
      const bytes = readFileSync(path())
      bytes[bytes.length - 60]! ^= 1
      writeFileSync(path(), bytes)
    },
    "a cut": () => truncateSync(path(), 300),
    "an empty file": () => truncateSync(path(), 0),
    "something else": () => writeFileSync(path(), "<html>sign in</html>"),
    "another data set": () => writeFileSync(path(), encodeCanonical("other", 1, { arrays: [], facts: {} })),
  }
  test.each(Object.keys(damages))("repairs itself after %s", async (damage) => {
    const before = readFileSync(path())
    damages[damage]!()
    const offline = await failure(load({ offline: true }))
    expect(offline).toBeInstanceOf(DatasetDamaged)
    expect(offline?.message).toContain("exp data get tiny")
    expect([...(await load()).array("train.images")]).toEqual(images)
    expect(registry.tarballRequests).toBe(1)
    expect(readFileSync(path()).equals(before)).toBe(true)
  })

  test("is fetched again when forced", async () => {
    await load({ force: true })
    expect(registry.tarballRequests).toBe(1)
  })
})

describe("several processes", () => {
  test("that want the same data set at once fetch it once", async () => {
    registry.delayMs = 400
    const results = await Promise.all([inChild(), inChild(), inChild()])
    for (const result of results) expect(result.images).toEqual(images)
    expect(registry.tarballRequests).toBe(1)
    expect(results.filter((r) => r.phases?.includes("downloading"))).toHaveLength(1)
    expect(results.filter((r) => r.phases?.includes("waiting")).length).toBeGreaterThan(0)
    expect(files()).toEqual(["tiny.v1.bin"])
  })

  test("in one process too", async () => {
    registry.delayMs = 50
    await Promise.all([load(), load(), load()])
    expect(registry.tarballRequests).toBe(1)
  })

  test("take over from one that was killed, and clean up after it", async () => {
    registry.delayMs = 60_000
    const child = spawn(process.execPath, [script, archivePath, directory])
    while (!existsSync(`${path()}.lock`)) await new Promise((resolve) => setTimeout(resolve, 20))
    const exited = once(child, "exit")
    child.kill("SIGKILL")
    await exited
    writeFileSync(`${path()}.1234-abcd.partial`, "half of it")
    expect(files()).toContain("tiny.v1.bin.lock")
    registry.delayMs = 0
    const started = Date.now()
    expect([...(await load()).array("train.images")]).toEqual(images)
    expect(Date.now() - started).toBeLessThan(5_000)
    expect(files()).toEqual(["tiny.v1.bin"])
  })

  test("take over from one on another machine that has not been heard of for long, not before", async () => {
    const lock = `${path()}.lock`
    writeFileSync(lock, JSON.stringify({ pid: 1, space: "elsewhere", token: "t" }))
    const waiting = await failure(load({ lock: { timeoutMs: 300, pollMs: 50 } }))
    expect(waiting?.name).toBe("CacheLocked")
    expect(waiting?.message).toContain("process 1 on elsewhere")
    const longAgo = new Date(Date.now() - 60_000)
    utimesSync(lock, longAgo, longAgo)
    expect([...(await load()).array("train.images")]).toEqual(images)
    expect(files()).toEqual(["tiny.v1.bin"])
  })
})

describe("a cache that can not be written", () => {
  test.skipIf(process.platform === "win32")(
    "for lack of room is a typed error and leaves nothing half-written",
    async () => {
      // A limit of one block on the size of files: the first write past it fails as on a full disk.
      const command = `ulimit -f 0; exec "$0" "$1" "$2" "$3"`
      const { stdout } = await promisify(execFile)("bash", [
        "-c",
        command,
        process.execPath,
        script,
        archivePath,
        directory,
      ])
      const result = JSON.parse(stdout)
      expect(result.error).toBe("CacheDiskFull")
      expect(result.message).toContain("EXP_DATA_DIR")
      expect(files()).toEqual([])
    },
  )

  test("for lack of room is found out before the download", async () => {
    const entry = { ...tinyEntry(archive), bytes: 2 ** 60 }
    await expect(ensureDataset(entry, { directory })).rejects.toBeInstanceOf(CacheDiskFull)
    expect(registry.requests).toEqual([])
    expect(files()).toEqual([])
  })

  test("because a file is in the way is a typed error", async () => {
    const blocked = join(archivePath, "cache")
    await expect(load({ directory: blocked })).rejects.toBeInstanceOf(CacheNotWritable)
  })
})
