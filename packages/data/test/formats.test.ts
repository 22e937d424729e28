import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PNG } from "pngjs"
import { describe, expect, test } from "vitest"
import { readCanonical } from "../src/canonical.ts"
import { catalogue } from "../src/catalogue.ts"
import { decodeSprite } from "../src/cifar-10.ts"
import { parseCifar100 } from "../src/cifar-100.ts"
import { loadDataset } from "../src/data.ts"
import { convertArchive, ensureDataset } from "../src/ensure.ts"
import { DownloadFailed, UnknownDataset } from "../src/errors.ts"
import { parseClothes } from "../src/fashion-mnist.ts"
import { parseIdx } from "../src/idx.ts"
import { imageDataset } from "../src/image-dataset.ts"
import { parseSeriesCsv } from "../src/series-csv.ts"
import { addressTitle, convertStateOfTheUnion } from "../src/state-of-the-union.ts"
import { archiveOf } from "./support/registry.ts"

const temporary = () => mkdtempSync(join(tmpdir(), "exp-formats-"))
const utf8 = (text: string) => new TextEncoder().encode(text)

describe("the State of the Union addresses", () => {
  const path = (year: number) => `data/${year}_john_f_kennedy_d.txt`
  const convert = (years: readonly number[]) => {
    const conversion = convertStateOfTheUnion()
    for (const year of years) conversion.file(path(year), utf8(` Address of ${year}.\n`))
    return conversion
  }
  test("are one text in the order of years, a section each", () => {
    const years = Array.from({ length: 233 }, (_, i) => 2000 - i)
    const { arrays, facts } = convert(years).finish()
    const text = new TextDecoder().decode(arrays[0]!.bytes)
    expect(text.slice(0, 40)).toBe("Address of 1768.\n\nAddress of 1769.\n\nAddr")
    const sections = facts["sections"] as { title: string; start: number; end: number }[]
    expect(sections).toHaveLength(233)
    expect(sections.at(-1)).toEqual({ title: "2000 John F Kennedy", start: text.length - 18, end: text.length })
    expect(addressTitle(path(1961))).toBe("1961 John F Kennedy")
  })
  test("want the texts alone, all of them, in UTF-8", () => {
    const { wanted } = convert([])
    expect(wanted(path(1961))).toBe(true)
    for (const other of ["data/1961_john_f_kennedy_d.json", "README.md", "lib/main.js"])
      expect(wanted(other)).toBe(false)
    expect(() => convert([1961]).finish()).toThrow("1 addresses instead of 233")
    expect(() => convert([]).file(path(1962), Uint8Array.from([0xff, 0xfe]))).toThrow()
  })
})

describe("IDX", () => {
  const images = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6])
  test("has big-endian dimensions and then the bytes", () => {
    expect(parseIdx("x", images)).toEqual({ shape: [2, 1, 2], bytes: Uint8Array.from([9, 8, 7, 6]) })
    expect(parseIdx("l", Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 2, 3, 1]))).toMatchObject({ shape: [2] })
  })
  test("of another length, or of another type, is refused", () => {
    expect(() => parseIdx("x", images.subarray(0, 19))).toThrow("19 bytes instead of 20")
    expect(() => parseIdx("x", images.subarray(0, 10))).toThrow("ends inside its header")
    expect(() => parseIdx("x", Uint8Array.from([0, 0, 13, 1, 0, 0, 0, 0]))).toThrow("not an IDX file of bytes")
  })
})

describe("Fashion-MNIST's JSON", () => {
  const row = (v: number) => Array(784).fill(v)
  test("gives its rows without the empty ones", () => {
    const images = parseClothes("0.json", utf8(JSON.stringify({ data: [row(1), [], row(255)] })))
    expect(images.length).toBe(2 * 784)
    expect([images[0], images[783], images[784]]).toEqual([1, 1, 255])
  })
  test("with a value that is not a byte is refused", () => {
    for (const v of [256, -1, 0.5])
      expect(() => parseClothes("0.json", utf8(JSON.stringify({ data: [row(v)] })))).toThrow(`holds ${v}`)
  })
})

test("a CIFAR-10 sprite is one image a row, red, green, blue", () => {
  const data = Buffer.alloc(1024 * 2 * 4, 255)
  data.set([1, 2, 3, 255, 4, 5, 6, 255], 1024 * 4)
  const images = decodeSprite("x.png", PNG.sync.write({ width: 1024, height: 2, data }))
  expect(images.length).toBe(2 * 3072)
  expect([...images.subarray(3072, 3079)]).toEqual([1, 2, 3, 4, 5, 6, 255])
})

describe("CIFAR-100's binary records", () => {
  const record = (coarse: number, fine: number, red: number, green: number, blue: number) =>
    Buffer.concat([
      Buffer.from([coarse, fine]),
      ...[red, green, blue].map((first) => Buffer.from(Array.from({ length: 1024 }, (_, i) => (first + i) % 256))),
    ])
  const names = (n: number, what: string) => Array.from({ length: n }, (_, i) => `${what}_${i}`).join("\n") + "\n"

  test("are coarse label, fine label and three planes", () => {
    const { images, labels, coarseLabels } = parseCifar100(
      "t",
      Buffer.concat([record(0, 1, 0, 0, 0), record(19, 99, 10, 20, 30)]),
    )
    expect([...labels]).toEqual([1, 99])
    expect([...coarseLabels]).toEqual([0, 19])
    expect([...images.subarray(3072, 3078)]).toEqual([10, 20, 30, 11, 21, 31])
  })
  test("that are cut, or have labels out of range, are refused", () => {
    expect(() => parseCifar100("t", record(0, 1, 0, 0, 0).subarray(1))).toThrow("not whole records")
    expect(() => parseCifar100("t", record(20, 1, 0, 0, 0))).toThrow("labels 20 and 1")
  })
  test("in an archive of the official layout become a data set with superclasses", async () => {
    const archive = await archiveOf({
      "train.bin": Buffer.concat([record(3, 42, 1, 2, 3), record(4, 7, 0, 0, 0)]),
      "test.bin": record(5, 9, 250, 0, 0),
      "fine_label_names.txt": names(100, "fine"),
      "coarse_label_names.txt": names(20, "coarse"),
    })
    const path = join(temporary(), "cifar-100.bin")
    writeFileSync(path, await convertArchive(catalogue["cifar-100"], archive))
    const { shape, classes, superclasses, train, test } = imageDataset(await readCanonical(path))
    expect(shape).toEqual([32, 32, 3])
    expect([train.count, test.count, classes.length, superclasses?.length]).toEqual([2, 1, 100, 20])
    expect(classes[train.labels[0]!]).toBe("fine_42")
    expect(superclasses?.[train.coarseLabels![0]!]).toBe("coarse_3")
    expect([...test.images.subarray(0, 6)]).toEqual([250, 0, 0, 251, 1, 1])
  })
  test("whose official address can not be reached give an error that names a way round", async () => {
    const unreachable = {
      ...catalogue["cifar-100"],
      carrier: { ...catalogue["cifar-100"].carrier, url: "https://127.0.0.1:9/cifar-100-binary.tar.gz" },
    }
    process.env["npm_config_fetch_retries"] = "0"
    try {
      const error = await ensureDataset(unreachable, { directory: temporary() }).catch((e: unknown) => e as Error)
      expect(error).toBeInstanceOf(DownloadFailed)
      expect((error as Error).message).toContain("exp data get cifar-100 --from FILE")
    } finally {
      delete process.env["npm_config_fetch_retries"]
    }
  })
})

describe("a series in a CSV file", () => {
  test("keeps the named columns and the times in UTC", () => {
    const { times, values } = parseSeriesCsv("x", "t,a,b\n2012-01-01,1,2\n2012-01-02,3,-4.5\n", "t", ["b", "a"])
    expect([...values]).toEqual([2, 1, -4.5, 3])
    expect(times[1]! - times[0]!).toBe(86_400_000)
    expect(new Date(times[0]!).toISOString()).toBe("2012-01-01T00:00:00.000Z")
    expect(parseSeriesCsv("x", "t,a\n2012-01-01T05:00:00,1\n", "t", ["a"]).times[0]).toBe(times[0]! + 5 * 3_600_000)
  })
  test("with a hole, a wrong order or a missing column names the place", () => {
    expect(() => parseSeriesCsv("x", "t,a\n2012-01-01,\n", "t", ["a"])).toThrow('line 2: "" is not a number')
    expect(() => parseSeriesCsv("x", "t,a\n2012-01-02,1\n2012-01-01,1\n", "t", ["a"])).toThrow("line 3")
    expect(() => parseSeriesCsv("x", "t,a\n", "t", ["c"])).toThrow('no column "c", only t, a')
  })
})

test("a name that is not known gives the nearest one", async () => {
  const error = await loadDataset("fashion-minst" as "mnist", { offline: true }).catch((e: unknown) => e as Error)
  expect(error).toBeInstanceOf(UnknownDataset)
  expect((error as Error).message).toContain('Did you mean "fashion-mnist"?')
})
