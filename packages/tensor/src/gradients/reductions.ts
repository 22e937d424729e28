/** Gradients of reductions, softmax, sorting and matrix products. */
import * as tf from "@tensorflow/tfjs-core"
import { scatterRows } from "../ops/scatter-rows.ts"
import { gradient, kernel } from "./define.ts"

/** Shape of a reduction's result with the reduced axes kept as 1, and how many elements each result covers. */
function kept(shape: readonly number[], axis: number | readonly number[] | undefined) {
  const axes = tf.util.parseAxisParam((axis ?? null) as unknown as number, [...shape])
  return {
    axes,
    shape: shape.map((d, i) => (axes.includes(i) ? 1 : d)),
    count: axes.reduce((n, i) => n * shape[i]!, 1),
  }
}

const spread = (dy: tf.Tensor, shape: readonly number[], k: readonly number[]) =>
  tf.broadcastTo(tf.reshape(dy, [...k]), [...shape])

/** Registers them. */
export function registerReductions(): void {
  gradient("Sum", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => spread(tf.cast(dy, "float32"), x!.shape, kept(x!.shape, attributes.axis).shape),
  }))
  gradient("Mean", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      const k = kept(x!.shape, attributes.axis)
      return spread(tf.mul(dy, 1 / k.count), x!.shape, k.shape)
    },
  }))
  for (const name of ["Max", "Min"])
    gradient(name, ["x"], true, ({ dy, x: [x], y, attributes }) => ({
      x: () => {
        const k = kept(x!.shape, attributes.reductionIndices ?? attributes.axis)
        const at = tf.equal(x!, tf.reshape(y, k.shape))
        return tf.mul(tf.cast(at, "float32"), tf.reshape(dy, k.shape))
      },
    }))
  gradient("Prod", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      // The product of all others, from both sides, so that zeros are exact.
      const k = kept(x!.shape, attributes.axis)
      const rest = x!.shape.map((_, i) => i).filter((i) => !k.axes.includes(i))
      const order = [...rest, ...k.axes]
      const rows = tf.reshape(tf.transpose(x!, order), [-1, k.count])
      const before = tf.cumprod(rows, 1, true, false)
      const after = tf.cumprod(rows, 1, true, true)
      const others = tf.mul(tf.mul(before, after), tf.reshape(dy, [-1, 1]))
      const back = order.map((_, i) => order.indexOf(i))
      return tf.transpose(
        tf.reshape(
          others,
          order.map((i) => x!.shape[i]!),
        ),
        back,
      )
    },
  }))
  gradient("Softmax", [], true, ({ dy, y, attributes }) => ({
    logits: () => {
      const dim = attributes.dim ?? y.rank - 1
      return tf.mul(tf.sub(dy, tf.sum(tf.mul(dy, y), dim, true)), y)
    },
  }))
  gradient("LogSoftmax", [], true, ({ dy, y, attributes }) => ({
    logits: () => {
      const axis = attributes.axis ?? y.rank - 1
      return tf.sub(dy, tf.mul(tf.sum(dy, axis, true), tf.exp(y)))
    },
  }))
  gradient("Cumsum", [], false, ({ dy, attributes }) => ({
    x: () => tf.cumsum(dy, attributes.axis, attributes.exclusive, !attributes.reverse),
  }))
  gradient("Cumprod", ["x"], true, ({ dy, x: [x], y, attributes }) => ({
    // Σ_{j ≥ i} dy_j·y_j / x_i; not defined here for zeros in x.
    x: () => tf.div(tf.cumsum(tf.mul(dy, y), attributes.axis, attributes.exclusive, !attributes.reverse), x!),
  }))
  tf.registerGradient({
    kernelName: "TopK",
    inputsToSave: ["x"],
    outputsToSave: [false, true],
    gradFunc: (dy, saved) => {
      const [x, indices] = saved as [tf.Tensor, tf.Tensor]
      const [dValues] = dy as tf.Tensor[]
      return {
        x: () => {
          const n = x.shape[x.rank - 1]!
          const rows = x.size / n
          const k = indices.shape[indices.rank - 1]!
          const flat = tf.add(
            tf.reshape(indices, [rows, k]),
            tf.mul(tf.reshape(tf.range(0, rows, 1, "int32"), [rows, 1]), tf.scalar(n, "int32")),
          )
          return tf.reshape(
            scatterRows(tf.reshape(dValues!, [rows * k]), tf.reshape(flat, [rows * k]), rows * n),
            x.shape,
          )
        },
      }
    },
  })
  gradient("BatchMatMul", ["a", "b"], false, ({ dy, x: [a, b], attributes }) => {
    const { transposeA, transposeB } = attributes as { transposeA: boolean; transposeB: boolean }
    const batchFree = (t: tf.Tensor) => t.shape.slice(0, -2).every((d) => d === 1)
    // One matrix for the whole batch: rows of all batches form one product.
    const shared = batchFree(b!) && !batchFree(a!) && !transposeA
    const rows = (t: tf.Tensor) => tf.reshape(t, [-1, t.shape[t.rank - 1]!])
    const to = (t: tf.Tensor, shape: readonly number[]) => {
      const lead = t.rank - shape.length
      const axes = t.shape
        .map((_, i) => i)
        .filter((i) => i < t.rank - 2 && (i < lead || (shape[i - lead] === 1 && t.shape[i] !== 1)))
      return tf.reshape(axes.length > 0 ? tf.sum(t, axes) : t, [...shape])
    }
    return {
      a: () => {
        if (shared) {
          const matrix = tf.reshape(b!, b!.shape.slice(-2))
          return tf.reshape(tf.matMul(rows(dy), matrix, false, !transposeB), a!.shape)
        }
        return to(transposeA ? tf.matMul(b!, dy, transposeB, true) : tf.matMul(dy, b!, false, !transposeB), a!.shape)
      },
      b: () => {
        if (shared) {
          const d = transposeB ? tf.matMul(rows(dy), rows(a!), true) : tf.matMul(rows(a!), rows(dy), true)
          return tf.reshape(d, b!.shape)
        }
        return to(transposeB ? tf.matMul(dy, a!, true, transposeA) : tf.matMul(a!, dy, !transposeA, false), b!.shape)
      },
    }
  })
  gradient("Einsum", "all", false, ({ dy, x, attributes }) => {
    const [left, out] = (attributes.equation as string).replaceAll(" ", "").split("->") as [string, string]
    const terms = left.split(",")
    return Object.fromEntries(
      x.map((operand, i) => [
        i,
        () => {
          const term = terms[i]!
          const others = terms.filter((_, j) => j !== i)
          // Indices of this operand alone were summed away: the gradient is the same along them.
          const known = [...term].filter((c) => out.includes(c) || others.some((t) => t.includes(c)))
          // An index of one operand alone is summed first: TensorFlow.js gets outer products with one wrong.
          const summed = others.map((t, j) => {
            const used = (c: string) =>
              out.includes(c) || term.includes(c) || others.some((other, k) => k !== j && other.includes(c))
            const operand = x.filter((_, k) => k !== i)[j]!
            const axes = [...t].flatMap((c, axis) => (used(c) ? [] : [axis]))
            return { term: [...t].filter(used).join(""), value: axes.length > 0 ? tf.sum(operand, axes) : operand }
          })
          const equation = `${[out, ...summed.map((o) => o.term)].join(",")}->${known.join("")}`
          const partial = tf.einsum(equation, dy, ...summed.map((o) => o.value))
          const shape = [...term].map((c, d) => (known.includes(c) ? operand.shape[d]! : 1))
          return tf.broadcastTo(tf.reshape(partial, shape), operand.shape)
        },
      ]),
    )
  })
  gradient("LRN", ["x"], true, ({ dy, x: [x], y, attributes }) => ({
    x: () => kernel("LRNGrad", { x: x!, y, dy }, attributes),
  }))
}
