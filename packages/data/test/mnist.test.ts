/** The real data: read from the user's cache, downloaded from the registry once when it is not there. */
import { readFile } from "node:fs/promises"
import { performance } from "node:perf_hooks"
import { beforeAll, describe, expect, test } from "vitest"
import { type ImageDataset, listDatasets, loadDataset, verifyDataset } from "../src/data.ts"

describe("MNIST", () => {
  let mnist: ImageDataset
  beforeAll(async () => {
    mnist = await loadDataset("mnist")
  }, 300_000)

  test("has its 70,000 digits, the published counts and the known mean and deviation", () => {
    expect(mnist.shape).toEqual([28, 28, 1])
    expect([mnist.train.count, mnist.test.count]).toEqual([60_000, 10_000])
    const counts = (labels: Uint8Array) => labels.reduce((n, l) => n.with(l, n[l]! + 1), Array<number>(10).fill(0))
    expect(counts(mnist.test.labels)).toEqual([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    expect([...mnist.train.labels.subarray(0, 8)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3])
    let sum = 0
    let squares = 0
    for (const v of mnist.train.images) {
      sum += v
      squares += v * v
    }
    const mean = sum / mnist.train.images.length / 255
    expect(mean).toBeCloseTo(0.1307, 4)
    expect(Math.sqrt(squares / mnist.train.images.length / 255 ** 2 - mean ** 2)).toBeCloseTo(0.3081, 4)
  })

  test("is whole in the cache, and listed so", async () => {
    expect(await verifyDataset("mnist")).toMatchObject({ state: "whole", root: mnist.hash })
    expect((await listDatasets()).find((d) => d.name === "mnist")).toMatchObject({ state: "cached" })
  })

  test("loads again without the network, checked, in little more time than reading the file takes", async () => {
    const { path } = (await listDatasets()).find((d) => d.name === "mnist")!
    const timed = async (work: () => Promise<unknown>) => {
      const start = performance.now()
      await work()
      return performance.now() - start
    }
    // In turns, and against a bare read of the same file, so that a busy machine slows both.
    const ours: number[] = []
    const bare: number[] = []
    for (let i = 0; i < 7; i++) {
      ours.push(await timed(() => loadDataset("mnist", { offline: true })))
      bare.push(await timed(() => readFile(path)))
    }
    expect(Math.min(...ours) / Math.min(...bare)).toBeLessThan(5)
  })
})
