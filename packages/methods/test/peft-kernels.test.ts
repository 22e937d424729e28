import { type Tensors, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import type { FactorTuner } from "../src/peft/factors.ts"
import { updateRule } from "../src/peft/factors.ts"
import { mixtureKernel, piecewiseKernel } from "../src/peft/kernels.ts"
import { numericalRank } from "../src/peft/matrix-rank.ts"
import { kernelMatrix, updateBranch, updateMatrix } from "../src/peft/update.ts"
import { factorsFor, largestDifference, norm, normalTensor, useReferenceBackend } from "./peft-device.ts"

const map = { name: "m", inputs: 64, outputs: 64 }
const small = { name: "s", inputs: 12, outputs: 9 }
const tuners: Record<string, FactorTuner> = {
  kernel: { _tag: "KernelLora", rank: 8, recompute: true },
  mixture: { _tag: "KernelLoraMix", rank: 8, recompute: true },
  snell: { _tag: "Snell", rank: 8, sparsity: 0.5, mode: "gated", recompute: true },
  soft: { _tag: "Snell", rank: 8, sparsity: 0.5, mode: "soft", recompute: true },
  hard: { _tag: "Snell", rank: 8, sparsity: 0.5, mode: "hard", recompute: true },
  lora: { _tag: "Lora", rank: 8, recompute: true },
  sparsified: { _tag: "SparsifiedLora", rank: 8, sparsity: 0.5, mode: "gated", recompute: true },
}

beforeAll(useReferenceBackend)

describe("the piecewise kernel", () => {
  const factors = () => factorsFor(tuners["kernel"]!, map)
  const values = (k: tf.Tensor) => k.dataSync()

  it("is the weighted sum of distances, computed directly", () => {
    const { a, b } = factorsFor(tuners["kernel"]!, small) as { a: tf.Tensor; b: tf.Tensor }
    const k = values(piecewiseKernel(a, b))
    const [as, bs] = [a.dataSync(), b.dataSync()]
    for (const [i, j] of [
      [0, 0],
      [3, 7],
      [11, 8],
    ] as const) {
      const distance = (p: number) => {
        let sum = 0
        for (let c = 0; c < 4; c++) sum += (as[(p * 12 + i) * 4 + c]! - bs[(p * 9 + j) * 4 + c]!) ** 2
        return Math.sqrt(sum)
      }
      expect(k[i * 9 + j]).toBeCloseTo(0.1 * (distance(0) - distance(1)), 6)
    }
  })

  it("is exactly 0 where the second piece copies the first", () => {
    const { a, b } = factors()
    const copy = (x: tf.Tensor) => tf.tile(tf.slice(x, [0, 0, 0], [1, -1, -1]), [2, 1, 1])
    expect(norm(values(piecewiseKernel(copy(a!), copy(b!))))).toBe(0)
  })

  it("is negated when the pieces are swapped", () => {
    const { a, b } = factors()
    const k = values(piecewiseKernel(a!, b!))
    const swapped = values(piecewiseKernel(tf.reverse(a!, 0), tf.reverse(b!, 0)))
    expect(
      largestDifference(
        k,
        swapped.map((x) => -x),
      ),
    ).toBeLessThan(1e-8)
  })

  it("does not change when one vector is added to all rows of a piece of both factors", () => {
    const { a, b } = factors()
    const shift = normalTensor("shift", [2, 1, 4], 0.1)
    const shifted = values(piecewiseKernel(tf.add(a!, shift), tf.add(b!, shift)))
    expect(largestDifference(values(piecewiseKernel(a!, b!)), shifted)).toBeLessThan(1e-7)
  })

  it("is 1-homogeneous, and 2-homogeneous after the gate", () => {
    const { a, b } = factors()
    const k = values(piecewiseKernel(a!, b!))
    const scaled = values(piecewiseKernel(tf.mul(a!, 3), tf.mul(b!, 3)))
    expect(
      largestDifference(
        scaled,
        k.map((x) => 3 * x),
      ) / norm(k),
    ).toBeLessThan(1e-6)
    const rule = updateRule(tuners["snell"]!)
    const gated = values(updateMatrix(rule, { a: a!, b: b! }, 0.5))
    const gatedScaled = values(updateMatrix(rule, { a: tf.mul(a!, 3), b: tf.mul(b!, 3) }, 0.5))
    expect(
      largestDifference(
        gatedScaled,
        gated.map((x) => 9 * x),
      ) / norm(gated),
    ).toBeLessThan(1e-4)
  })

  it("has nearly full rank at the start where LoRA has 8", () => {
    const { a, b } = factors()
    expect(numericalRank(values(piecewiseKernel(a!, b!)), 64, 64)).toBeGreaterThanOrEqual(62)
    const lora = factorsFor(tuners["sparsified"]!, map)
    expect(numericalRank(values(kernelMatrix({ kernel: "linear" }, lora)), 64, 64)).toBeLessThanOrEqual(8)
  })

  it("starts small: standard deviation near 0.0044 at 64×64 and 0.0033 at 64×256 with budget 8", () => {
    for (const [outputs, expected] of [
      [64, 0.0044],
      [256, 0.0033],
    ] as const) {
      const f = factorsFor(tuners["kernel"]!, { ...map, outputs })
      const k = Float64Array.from(values(piecewiseKernel(f["a"]!, f["b"]!)))
      const mean = k.reduce((s, x) => s + x, 0) / k.length
      const sd = Math.sqrt(k.reduce((s, x) => s + (x - mean) ** 2, 0) / k.length)
      expect(Math.abs(sd / expected - 1)).toBeLessThan(0.2)
    }
  })

  it("has gradient 0, not NaN, where a distance is 0", () => {
    const a = tf.zeros([2, 3, 4])
    const { gradients } = valueAndGradients((p) => tf.sum(piecewiseKernel(p["a"]!, p["b"]!)), {
      a,
      b: tf.zeros([2, 5, 4]),
    })
    expect(Array.from(gradients["a"]!.dataSync())).toEqual(new Array(24).fill(0))
    expect(Array.from(gradients["b"]!.dataSync())).toEqual(new Array(40).fill(0))
  })
})

describe("the mixture kernel", () => {
  const scalars = (alpha: number, gamma: number, beta: number) => ({
    alpha: tf.tensor1d([alpha]),
    gamma: tf.tensor1d([gamma]),
    beta: tf.tensor1d([beta]),
  })
  const factors = () => factorsFor(tuners["mixture"]!, map)

  it("has rows of K − D − β that sum to α", () => {
    const { a, b } = factors()
    const d = piecewiseKernel(a!, b!)
    const k = mixtureKernel(a!, b!, scalars(0.7, 0.01, -0.3))
    const rows = tf.sum(tf.sub(tf.sub(k, d), -0.3), 1).dataSync()
    for (const row of rows) expect(Math.abs(row - 0.7)).toBeLessThan(1e-5)
  })

  it("is the piecewise kernel at α = β = 0", () => {
    const { a, b } = factors()
    const k = mixtureKernel(a!, b!, scalars(0, 1, 0)).dataSync()
    expect(largestDifference(k, piecewiseKernel(a!, b!).dataSync())).toBe(0)
  })

  it("adds 1/outputs everywhere at a high temperature", () => {
    const { a, b } = factors()
    const soft = tf.sub(mixtureKernel(a!, b!, scalars(1, 1e6, 0)), piecewiseKernel(a!, b!)).dataSync()
    for (const x of soft) expect(Math.abs(x - 1 / 64)).toBeLessThan(1e-7)
  })

  it("does not overflow at a temperature of 0, whose gradient is still a number", () => {
    const { a, b } = factors()
    const { value, gradients } = valueAndGradients(
      (p) => tf.sum(tf.square(mixtureKernel(a!, b!, { ...scalars(1, 0, 0), gamma: p["gamma"]! }))),
      { gamma: tf.tensor1d([0]) },
    )
    expect(Number.isFinite(value.dataSync()[0]!)).toBe(true)
    expect(Number.isFinite(gradients["gamma"]!.dataSync()[0]!)).toBe(true)
  })
})

/** Compares a directional derivative with a central difference; the gate, if any, is held at its value. */
function checkGradient(loss: (p: Tensors) => tf.Tensor, params: Tensors, name: string, tolerance = 1e-2): void {
  const { gradients } = valueAndGradients(loss, params)
  const gradient = gradients[name]!.dataSync()
  const at = params[name]!
  const size = 1e-3
  // Along the gradient itself the difference is as large as it can be against float32 noise.
  const length = norm(gradient)
  const direction = tf.tensor(
    gradient.map((g) => g / length),
    at.shape,
  )
  const along = (t: number) => loss({ ...params, [name]: tf.add(at, tf.mul(direction, t)) }).dataSync()[0]! as number
  const slope = (along(size) - along(-size)) / (2 * size)
  expect(Math.abs(slope - length) / length, name).toBeLessThan(tolerance)
}

describe("gradients against finite differences", () => {
  // Factors of order 1: distances far from 0, so that a step of 1e-3 stays where the kernel is smooth.
  const factors = (mixture: boolean): Tensors => ({
    a: normalTensor("fd.a", [2, 12, 4]),
    b: normalTensor("fd.b", [2, 9, 4]),
    ...(mixture ? { alpha: tf.tensor1d([0.8]), gamma: tf.tensor1d([0.2]), beta: tf.tensor1d([0.1]) } : {}),
  })
  const weights = () => normalTensor("fd.w", [12, 9])

  it("piecewise: A and B", () => {
    const w = weights()
    const loss = (p: Tensors) => tf.sum(tf.mul(w, kernelMatrix({ kernel: "piecewise" }, p)))
    for (const name of ["a", "b"]) checkGradient(loss, factors(false), name)
  })

  it("mixture: A, B, α, γ and β", () => {
    const w = weights()
    const loss = (p: Tensors) => tf.sum(tf.mul(w, kernelMatrix({ kernel: "mixture" }, p)))
    for (const name of ["a", "b", "alpha", "gamma", "beta"]) checkGradient(loss, factors(true), name)
  })

  it("gated: with the gate held, and half of the total derivative", () => {
    for (const kernel of ["piecewise", "mixture"] as const) {
      const params = factors(kernel === "mixture")
      const w = weights()
      const k0 = kernelMatrix({ kernel }, params)
      const gate = tf.tensor(
        updateMatrix({ kernel, mode: "gated" }, params, 0.5)
          .dataSync()
          .map((x, i) => x / k0.dataSync()[i]!),
        [12, 9],
      )
      const held = (p: Tensors) => tf.sum(tf.mul(tf.mul(w, gate), kernelMatrix({ kernel }, p)))
      const gated = (p: Tensors) => tf.sum(tf.mul(w, updateMatrix({ kernel, mode: "gated" }, p, 0.5)))
      const a = valueAndGradients(held, params).gradients
      const b = valueAndGradients(gated, params).gradients
      for (const name of Object.keys(params)) {
        expect(largestDifference(a[name]!.dataSync(), b[name]!.dataSync()) / norm(a[name]!.dataSync())).toBeLessThan(
          1e-5,
        )
        checkGradient(held, params, name)
      }
      // The support does not move in a small step, so the total derivative of K·|K| is twice that with |K| held.
      const total = (p: Tensors) => {
        const k = kernelMatrix({ kernel }, p)
        const alive = tf.tensor(
          gate.dataSync().map((g) => (g > 0 ? 1 : 0)),
          [12, 9],
        )
        return tf.sum(tf.mul(tf.mul(w, alive), tf.mul(k, tf.abs(k))))
      }
      const twice = valueAndGradients(total, params).gradients["a"]!.dataSync()
      expect(
        largestDifference(
          twice,
          a["a"]!.dataSync().map((x) => 2 * x),
        ) / norm(twice),
      ).toBeLessThan(1e-4)
    }
  })
})

describe("recomputation", () => {
  for (const [label, tuner] of Object.entries(tuners)) {
    it(`${label}: the branch and its gradients are the same with and without it`, () => {
      const factors = label === "lora" ? factorsFor(tuners["sparsified"]!, small) : factorsFor(tuner, small)
      const big = Object.fromEntries(Object.entries(factors).map(([role, f]) => [role, f.rank > 1 ? tf.mul(f, 10) : f]))
      const x = normalTensor("x", [7, 12])
      const w = normalTensor("w", [7, 9])
      const sparsity = "sparsity" in tuner ? tuner.sparsity : undefined
      const run = (recomputed: boolean) =>
        valueAndGradients(
          ({ x, ...p }) => tf.sum(tf.mul(w, updateBranch(updateRule(tuner), x!, p, sparsity, recomputed))),
          { x, ...big },
        )
      const [on, off] = [run(true), run(false)]
      expect(on.value.dataSync()[0]).toBeCloseTo(off.value.dataSync()[0]!, 6)
      expect(Object.keys(on.gradients).sort()).toEqual(Object.keys(off.gradients).sort())
      for (const name of Object.keys(off.gradients)) {
        const expected = off.gradients[name]!.dataSync()
        expect(largestDifference(on.gradients[name]!.dataSync(), expected), name).toBeLessThan(
          1e-6 * Math.max(1, norm(expected)),
        )
      }
    })
  }

  it("keeps no [inputs, outputs] matrix between the passes", () => {
    const wide = { name: "w", inputs: 96, outputs: 80 }
    const matrix = 96 * 80 * 4
    const kept = (tuner: FactorTuner, recomputed: boolean) => {
      const factors = factorsFor(tuner, wide)
      const x = normalTensor("x", [2, 96])
      const sparsity = "sparsity" in tuner ? tuner.sparsity : undefined
      let alive = 0
      const before = tf.memory().numBytes
      valueAndGradients((p) => {
        const y = tf.sum(updateBranch(updateRule(tuner), x, p, sparsity, recomputed))
        return tf.customGrad((z) => ({
          value: tf.clone(z as tf.Tensor),
          gradFunc: (dy: tf.Tensor) => {
            alive = tf.memory().numBytes - before
            return dy
          },
        }))(y)
      }, factors)
      return alive
    }
    for (const name of ["kernel", "mixture", "snell", "sparsified"]) {
      expect(kept(tuners[name]!, true), name).toBeLessThan(matrix)
      expect(kept(tuners[name]!, false), name).toBeGreaterThan(name === "sparsified" ? matrix : 2 * matrix)
    }
  })
})
