/** Constant factors inside matrix products. */
import { type HostTensors, matMul, openDevice, type Step } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import { stepNodes } from "../src/compile/model.ts"
import { traceStep } from "../src/compile/trace-step.ts"

const tensor = (...shape: number[]) => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.cos(i + shape.length)),
  shape,
  dtype: "float32" as const,
})
const batch: HostTensors = { a: tensor(3, 4), b: tensor(4, 2), c: tensor(2), s: tensor(2, 3, 4), t: tensor(2, 4, 5) }

type F = (x: Readonly<Record<keyof typeof batch, tf.Tensor>>) => tf.Tensor | tf.Tensor[]
const stepOf =
  (f: F): Step =>
  (state, x) => {
    const out = f(x as never)
    return { state, metrics: Object.fromEntries([out].flat().map((y, i) => [`y${i}`, y])) }
  }
const nodes = (f: F) => stepNodes(traceStep(stepOf(f), {}, batch)).map((node) => node.op)

/** What must come out, from the reference device. */
async function agrees(f: F): Promise<void> {
  const results = []
  for (const name of ["js", "cpu"] as const) {
    const device = await openDevice(name)
    const program = device.compile(stepOf(f))
    program.load({})
    results.push(await program.run(batch, { seed: 0, step: 0 }))
    program.dispose()
    device.dispose()
  }
  const [reference, compiled] = results as [HostTensors, HostTensors]
  for (const name in reference)
    reference[name]!.data.forEach((x, i) => {
      expect(Math.abs(Number(compiled[name]!.data[i]) - Number(x))).toBeLessThan(1e-5)
    })
}

describe("a constant factor goes into the product", () => {
  const cases: Record<string, F> = {
    "of the product": ({ a, b }) => tf.mul(matMul(a!, b!), 3),
    "of the product and its bias": ({ a, b, c }) => tf.mul(tf.add(matMul(a!, b!), c!), 3),
    "of the left operand": ({ a, b }) => matMul(tf.mul(a!, 3), b!),
    "of both operands": ({ a, b }) => matMul(tf.mul(a!, 3), tf.mul(b!, 0.5)),
    "of an operand, and the bias stays": ({ a, b, c }) => tf.add(matMul(tf.mul(a!, 3), b!), c!),
    "of an operand and of the product": ({ a, b, c }) => tf.mul(tf.add(matMul(tf.mul(a!, 3), b!), c!), 0.5),
    "of a batched product": ({ s, t }) => tf.mul(matMul(s!, t!), 3),
    "of a transposed operand": ({ s, t }) => matMul(tf.mul(s!, 3), tf.transpose(t!, [0, 2, 1]), false, true),
    "of a tensor that two products read": ({ a, b }) => {
      const scaled = tf.mul(a!, 3)
      return [matMul(scaled, b!), matMul(scaled, scaled, false, true)]
    },
    "of a reshaped and transposed product": ({ a, b }) => tf.mul(tf.transpose(tf.reshape(matMul(a!, b!), [2, 3])), 3),
  }
  it.each(Object.entries(cases))("%s", async (_, f) => {
    expect(nodes(f)).not.toContain("Mul")
    await agrees(f)
  })
})

describe("a factor stays", () => {
  const cases: Record<string, F> = {
    "of a product that is read without it": ({ a, b }) => {
      const product = matMul(a!, b!)
      return [tf.mul(product, 3), product]
    },
    "of a tensor that is read otherwise": ({ a, b }) => {
      const scaled = tf.mul(a!, 3)
      return [matMul(scaled, b!), scaled]
    },
    "of a bias": ({ a, b, c }) => tf.add(matMul(a!, b!), tf.mul(c!, 3)),
    "that is no constant": ({ a, b, c }) => tf.mul(matMul(a!, b!), tf.sum(c!)),
    "that is infinite": ({ a, b }) => tf.mul(matMul(a!, b!), Number.POSITIVE_INFINITY),
  }
  it.each(Object.entries(cases))("%s", async (name, f) => {
    expect(nodes(f)).toContain("Mul")
    if (name !== "that is infinite") await agrees(f)
  })
})
