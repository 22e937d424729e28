/** Writes a folder as one compressed archive. */
import { spawn } from "node:child_process"
import { createWriteStream } from "node:fs"
import type { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { constants, createGzip, createZstdCompress } from "node:zlib"
import { create } from "tar"
import type { Platform } from "./platform.ts"

/** `xz` is smallest and needs xz on both machines, `zst` needs zstd to unpack, `gz` nothing. */
export type Compression = "xz" | "zst" | "gz"

/** Whether the command xz is there to compress with. */
export const hasXz = (): Promise<boolean> =>
  new Promise((done) => {
    const child = spawn("xz", ["--version"], { stdio: "ignore" })
    child.once("error", () => done(false))
    child.once("close", (code) => done(code === 0))
  })

/**
 * Writes `folder` of `parent` to `file`, owners left out.
 *
 * @throws Error when xz fails; whatever writing throws
 */
export async function writeArchive(
  parent: string,
  folder: string,
  file: string,
  compression: Compression,
  platform: Platform,
): Promise<void> {
  const entries = create({ cwd: parent, portable: true, noMtime: true }, [folder]) as unknown as Readable
  if (compression === "xz") return throughXz(entries, file, platform)
  const compressor =
    compression === "gz"
      ? createGzip({ level: 9 })
      : createZstdCompress({
          params: {
            [constants.ZSTD_c_compressionLevel]: 19,
            // The largest window that zstd opens without being told to.
            [constants.ZSTD_c_windowLog]: 27,
            [constants.ZSTD_c_checksumFlag]: 1,
          },
        })
  await pipeline(entries, compressor, createWriteStream(file))
}

async function throughXz(entries: Readable, file: string, platform: Platform): Promise<void> {
  // The filter makes jumps of x86 code alike: five per cent on Node's binary. There is none for ARM that old xz can undo.
  const filters = platform.cpu === "x64" ? ["--x86"] : []
  // Blocks of 96 MiB for as many threads; what they cost in size is small beside a window of 64 MiB.
  const blocks = `--block-size=${96 * 2 ** 20}`
  const xz = spawn("xz", ["--compress", "--stdout", "--threads=0", blocks, ...filters, "--lzma2=preset=9"], {
    stdio: ["pipe", "pipe", "pipe"],
  })
  let said = ""
  xz.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text
  })
  const ended = new Promise<void>((done, fail) => {
    xz.once("error", fail)
    xz.once("close", (code) => (code === 0 ? done() : fail(new Error(`xz failed (${code}): ${said.trim()}`))))
  })
  await Promise.all([pipeline(entries, xz.stdin), pipeline(xz.stdout, createWriteStream(file)), ended])
}
