import { describe, expect, it } from "vitest"
import { compressedBytes, ledger, linearMaps, pick, tinyVit, vitShapes } from "../src/nn.ts"

const config = tinyVit(10)
const model = Object.fromEntries(Object.entries(vitShapes(config)).map(([name, shape]) => [name, { shape }]))
const head = pick(model, (name) => name.startsWith("head."))
const cls = pick(model, (name) => name === "cls")
const megabytes = (bytes: number) => Math.round(bytes / 1e4) / 100

describe("memory ledger of the test bed", () => {
  it("full fine-tuning keeps 1.67 MB", () => {
    const l = ledger({ weights: model, trainable: model })
    expect(l["mem/trainable"]).toBe(139_018)
    expect(l["mem/optimizer"]).toBe(8 * 139_018 + 8 * Object.keys(model).length)
    expect(megabytes(l["mem/state"])).toBe(1.67)
  })

  it("factors of rank 8 keep 0.35 MB", () => {
    const factors = Object.fromEntries(
      linearMaps(config).flatMap((map) => [
        [`${map.name}.a`, { shape: [map.in, 8] }],
        [`${map.name}.b`, { shape: [map.out, 8] }],
      ]),
    )
    const l = ledger({ weights: { ...model, ...factors }, trainable: { ...factors, ...cls, ...head } })
    expect(l["mem/trainable"]).toBe(28_672 + 64 + 650)
    expect(megabytes(l["mem/state"])).toBe(0.35)
  })

  it("a dense mask keeps 1.58 MB and its mask 0.13 MB, whatever fraction it trains", () => {
    const held = pick(model, (name) => linearMaps(config).some((map) => name === `${map.name}.weight`))
    const l = ledger({
      weights: { ...model, ...held },
      trainable: { ...held, ...cls, ...head },
      effectiveTrainable: 28_836 + 714,
      masks: { entries: 131_072, bytesPerEntry: 1 },
    })
    expect(megabytes(l["mem/grads"] + l["mem/optimizer"])).toBe(1.58)
    expect(megabytes(l["mem/masks"])).toBe(0.13)
    expect(l["mem/state"]).toBe(l["mem/grads"] + l["mem/optimizer"] + l["mem/masks"])
    expect(compressedBytes(28_836)).toBe(461_376)
  })
})
