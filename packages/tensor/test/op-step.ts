/** What the operation suite does with a case: a step of its values and gradients, and how far two results are apart. */
import * as tf from "@tensorflow/tfjs-core"
import { type HostTensor, type Step, type Tensors, valueAndGradients } from "../src/tensor.ts"
import type { OpCase } from "./op-table.ts"

const describe = ({ dtype, shape }: HostTensor) => `${dtype} [${shape.join(", ")}]`

/** How a case is called in reports. */
export const label = (c: OpCase) => (c.note ? `${c.op}: ${c.note}` : c.op)
export const list = (y: tf.Tensor | readonly tf.Tensor[]) => (Array.isArray(y) ? y : [y]) as readonly tf.Tensor[]
/** Names of the inputs that are differentiated. */
export const floats = (c: OpCase) =>
  c.gradients ?? Object.keys(c.inputs).filter((name) => c.inputs[name]!.dtype === "float32")

/** A weighted sum of all outputs, with unequal weights so that errors cannot cancel. */
export function loss(ys: readonly tf.Tensor[]): tf.Tensor {
  const parts = ys.map((y) => {
    const weights = tf.tensor(
      Float32Array.from({ length: y.size }, (_, i) => Math.cos(1 + i * 1.7)),
      y.shape,
    )
    return tf.sum(tf.mul(tf.cast(y, "float32"), weights))
  })
  return parts.reduce((a, b) => tf.add(a, b))
}

/** Outputs, and gradients for the inputs named. */
export function stepOf(c: OpCase, differentiate = true): Step {
  return (state, batch) => {
    const ys = list(c.f(batch))
    const metrics: Record<string, tf.Tensor> = {}
    ys.forEach((y, i) => {
      metrics[`y${i}`] = y
    })
    const names = differentiate ? floats(c) : []
    if (names.length > 0) {
      const params = Object.fromEntries(names.map((name) => [name, batch[name]!]))
      const { gradients } = valueAndGradients((p: Tensors) => loss(list(c.f({ ...batch, ...p }))), params)
      for (const name of names) metrics[`d${name}`] = gradients[name] ?? tf.zerosLike(batch[name]!)
    }
    return { state, metrics }
  }
}

/**
 * The largest difference of two tensors, relative to max(1, |reference|); infinite where one is not finite and the other
 * differs from it.
 *
 * @throws where shapes or types differ
 */
export function difference(a: HostTensor, b: HostTensor): number {
  if (describe(a) !== describe(b)) throw new Error(`expected ${describe(a)}, got ${describe(b)}`)
  let worst = 0
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i]!, b.data[i]!]
    if (Object.is(x, y) || x === y) continue
    worst = Math.max(worst, Math.abs(x - y) / Math.max(1, Math.abs(x)) || Number.POSITIVE_INFINITY)
  }
  return worst
}
