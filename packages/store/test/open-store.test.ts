import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import Sqlite from "better-sqlite3"
import { describe, expect, it } from "vitest"
import { mountType } from "../src/file-system.ts"
import { migrate, readMigrations } from "../src/migrate.ts"
import {
  CorruptDatabase,
  DatabaseLocked,
  DatabaseMissing,
  DirectoryMissing,
  NewerDatabase,
  NotADatabase,
  OlderDatabase,
  openStore,
} from "../src/store.ts"
import { ended, plant, program, temporaryDirectory, temporaryStore } from "./temporary.ts"

const root = process.getuid?.() === 0

/** A closed database of some size. */
function filled(directory = temporaryDirectory()): string {
  const path = join(directory, "runs.db")
  const store = openStore(path, { mode: "write" })
  const [trialId] = plant(store)
  const writer = store.metricWriter(store.runs.start({ trialId: trialId! }))
  for (let step = 0; step < 20_000; step++) writer.log(step, "train/loss", step)
  store.close()
  return path
}

describe("opening", () => {
  it("says which directory is missing", () => {
    const path = join(temporaryDirectory(), "no", "runs.db")
    expect(() => openStore(path, { mode: "write" })).toThrow(DirectoryMissing)
  })

  it("does not create a file to read", () => {
    const path = join(temporaryDirectory(), "runs.db")
    expect(() => openStore(path, { mode: "read" })).toThrow(DatabaseMissing)
    expect(existsSync(path)).toBe(false)
  })

  it("refuses what is not a database and leaves it as it is", () => {
    const path = join(temporaryDirectory(), "runs.db")
    for (const content of ["hello", "x".repeat(10_000)]) {
      writeFileSync(path, content)
      for (const mode of ["read", "write"] as const) expect(() => openStore(path, { mode })).toThrow(NotADatabase)
      expect(readFileSync(path, "utf8")).toBe(content)
    }
  })

  it("refuses another program's database", () => {
    const path = join(temporaryDirectory(), "other.db")
    const other = new Sqlite(path)
    other.exec("CREATE TABLE addresses (name)")
    other.close()
    expect(() => openStore(path, { mode: "write" })).toThrow(NotADatabase)
    expect(() => openStore(path, { mode: "write" })).toThrow(/another program/)
  })

  it("refuses a directory", () => {
    expect(() => openStore(temporaryDirectory(), { mode: "write" })).toThrow(NotADatabase)
  })

  it("takes an empty file for a new database", () => {
    const path = join(temporaryDirectory(), "runs.db")
    writeFileSync(path, "")
    openStore(path, { mode: "write" }).close()
    expect(openStore(path, { mode: "read" }).queries.runs()).toEqual([])
  })

  it("sees a file that is cut short", () => {
    const path = filled()
    truncateSync(path, statSync(path).size - 8192)
    for (const mode of ["read", "write"] as const) expect(() => openStore(path, { mode })).toThrow(CorruptDatabase)
  })

  it("tells of damage inside when it is read", () => {
    const path = filled()
    const bytes = readFileSync(path)
    bytes.fill(0xab, 4096)
    writeFileSync(path, bytes)
    expect(() => openStore(path, { mode: "write" }).queries.runs()).toThrow(CorruptDatabase)
  })

  it("refuses a file of a newer program, unchanged", () => {
    const path = filled()
    const file = new Sqlite(path)
    file.pragma("user_version = 999")
    file.close()
    const before = readFileSync(path)
    for (const mode of ["read", "write"] as const) expect(() => openStore(path, { mode })).toThrow(NewerDatabase)
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  it("gives up on a lock after the time-out, and not before", () => {
    const path = filled()
    const holder = new Sqlite(path)
    holder.exec("BEGIN IMMEDIATE")
    const store = openStore(path, { mode: "write", lockTimeoutMs: 300 })
    const began = performance.now()
    expect(() => store.tags.add("run", 1, "x")).toThrow(DatabaseLocked)
    expect(performance.now() - began).toBeGreaterThan(290)
    holder.exec("ROLLBACK")
    store.tags.add("run", 1, "x")
    expect(store.tags.of("run", 1)).toEqual(["x"])
    store.close()
    holder.close()
  })

  it("lets readers in while a writer is in the middle of a transaction, and shows what was committed", () => {
    const path = filled()
    const holder = new Sqlite(path)
    holder.exec("BEGIN IMMEDIATE")
    holder.exec("UPDATE runs SET note = 'new'")
    const reader = openStore(path, { mode: "read", lockTimeoutMs: 100 })
    expect(reader.runs.get(1)!.note).toBeNull()
    holder.exec("COMMIT")
    expect(reader.runs.get(1)!.note).toBe("new")
    reader.close()
    holder.close()
  })

  it("cannot change anything when opened to read", () => {
    const reader = openStore(filled(), { mode: "read" })
    expect(() => reader.sql("DELETE FROM runs")).toThrow(/readonly|cannot be written/)
    reader.close()
  })

  it.runIf(root)("says that a file or directory is read-only, and can still read there", async () => {
    const directory = temporaryDirectory()
    const path = filled(directory)
    chmodSync(path, 0o444)
    chmodSync(directory, 0o555)
    const write = await ended(program("open", path, "write", "65534"))
    expect(write.stdout).toMatch(/^DatabaseReadOnly: .*read-only/)
    const read = await ended(program("open", path, "read", "65534"))
    expect(read.stdout).toBe("opened 1\n")
    chmodSync(path, 0o666)
    const inside = await ended(program("open", path, "write", "65534"))
    expect(inside.stdout).toMatch(/^DatabaseReadOnly: .*directory/)
  })

  it("is created once when many processes open it at the same moment", async () => {
    const path = join(temporaryDirectory(), "runs.db")
    const start = String(Date.now() + 1500)
    const all = await Promise.all(Array.from({ length: 8 }, () => ended(program("open", path, "write", "", start))))
    expect(all.map((each) => each.stdout + each.stderr)).toEqual(Array(8).fill("opened 0\n"))
  })
})

describe("migrating", () => {
  const next = { name: "0002_mood", sql: "ALTER TABLE runs ADD COLUMN mood TEXT;" }

  it("copies the file before it changes it", () => {
    const path = filled()
    const migrations = [...readMigrations(), next]
    const store = openStore(path, { mode: "write", migrations })
    expect(store.sql("SELECT mood FROM runs").rows).toEqual([[null]])
    expect(store.backup).toMatch(/runs\.db\.backup-v2-/)
    store.close()
    const copy = openStore(store.backup!, { mode: "read" })
    expect(copy.queries.count()).toBe(1)
    expect(copy.metrics.summaries(1)).toMatchObject([{ metric: "train/loss", count: 20_000, last: 19_999 }])
    copy.close()
    expect(() => openStore(path, { mode: "write" })).toThrow(NewerDatabase)
    const again = openStore(path, { mode: "write", migrations })
    expect(again.backup).toBeUndefined()
    again.close()
  })

  it("undoes all of a migration that fails", () => {
    const path = filled()
    const migrations = [...readMigrations(), next, { name: "0003_bad", sql: "CREATE TABLE x (a) STRICT; oops;" }]
    expect(() => openStore(path, { mode: "write", migrations })).toThrow()
    const store = openStore(path, { mode: "write" })
    expect(() => store.sql("SELECT mood FROM runs")).toThrow(/no such column/)
    expect(store.queries.count()).toBe(1)
    store.close()
  })

  it("undoes one that leaves dangling references", () => {
    const path = filled()
    const migrations = [...readMigrations(), { name: "0002_bad", sql: "DELETE FROM trials;" }]
    expect(() => openStore(path, { mode: "write", migrations })).toThrow(/dangling/)
    openStore(path, { mode: "write" }).close()
  })

  it("is not done by a reader, who says so", () => {
    const path = filled()
    expect(() => openStore(path, { mode: "read", migrations: [...readMigrations(), next] })).toThrow(OlderDatabase)
    expect(readdirSync(join(path, "..")).some((name) => name.includes("backup"))).toBe(false)
  })

  it("makes no copy of a new file", () => {
    const store = temporaryStore()
    expect(store.backup).toBeUndefined()
    expect(migrate(store.connection, readMigrations())).toBeUndefined()
  })
})

describe("network file systems", () => {
  it("are told by the longest mount point", () => {
    const mounts = "/dev/sda / ext4 rw 0 0\nserver:/x /home nfs4 rw 0 0\n/dev/sdb /home/me/a\\040b ext4 rw 0 0\n"
    expect(mountType(mounts, "/home/me")).toBe("nfs4")
    expect(mountType(mounts, "/home/me/a b/c")).toBe("ext4")
    expect(mountType(mounts, "/homestead")).toBe("ext4")
  })

  it("are not seen on this local directory", () => {
    const warnings: string[] = []
    temporaryStore({ onWarning: (message) => warnings.push(message) })
    expect(warnings).toEqual([])
  })
})

describe("copies", () => {
  it("taken of the file alone after closing are complete", () => {
    const path = filled()
    const directory = temporaryDirectory()
    mkdirSync(join(directory, "x"))
    copyFileSync(path, join(directory, "x", "copy.db"))
    const store = openStore(join(directory, "x", "copy.db"), { mode: "read" })
    expect(store.metrics.points(1, "train/loss").step.length).toBe(20_000)
    expect(store.verify()).toEqual([])
    store.close()
  })
})
