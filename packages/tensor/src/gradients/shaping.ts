/** Gradients of kernels that move, repeat or select elements. */
import * as tf from "@tensorflow/tfjs-core"
import { scatterRows } from "../ops/scatter-rows.ts"
import { gradient, unbroadcast, zeros } from "./define.ts"

/** Axis order that brings `axis` to the front, and its inverse. */
function toFront(rank: number, axis: number) {
  const order = [axis, ...Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis)]
  return { order, inverse: order.map((_, i) => order.indexOf(i)) }
}

/** The transpose of `gather(x, indices, axis)`: adds slices of `dy` into zeros of shape `shape`. */
function scatterAlong(dy: tf.Tensor, indices: tf.Tensor, axis: number, shape: readonly number[]): tf.Tensor {
  const flat = tf.reshape(tf.cast(indices, "int32"), [indices.size]) as tf.Tensor1D
  const rest = [...shape.slice(0, axis), ...shape.slice(axis + 1)]
  const joined = tf.reshape(dy, [...shape.slice(0, axis), indices.size, ...shape.slice(axis + 1)])
  const { order, inverse } = toFront(shape.length, axis)
  const front = axis === 0 ? joined : tf.transpose(joined, order)
  const summed = scatterRows(front, flat, shape[axis]!)
  const shaped = tf.reshape(summed, [shape[axis]!, ...rest])
  return axis === 0 ? shaped : tf.transpose(shaped, inverse)
}

/** Source positions of a mirrored axis. */
function mirrored(n: number, [before, after]: readonly [number, number], mode: string): number[] {
  const skip = mode === "reflect" ? 1 : 0
  const at: number[] = []
  for (let i = -before; i < n + after; i++) at.push(i < 0 ? -i - 1 + skip : i >= n ? 2 * n - 1 - i - skip : i)
  return at
}

/** Registers them. */
export function registerShaping(): void {
  gradient("Reshape", ["x"], false, ({ dy, x: [x] }) => ({ x: () => tf.reshape(dy, x!.shape) }))
  gradient("ExpandDims", ["input"], false, ({ dy, x: [x] }) => ({ input: () => tf.reshape(dy, x!.shape) }))
  gradient("Transpose", [], false, ({ dy, attributes }) => ({
    x: () => {
      const perm = attributes.perm as number[]
      return tf.transpose(
        dy,
        perm.map((_, i) => perm.indexOf(i)),
      )
    },
  }))
  gradient("Reverse", [], false, ({ dy, attributes }) => ({ x: () => tf.reverse(dy, attributes.dims) }))
  gradient("BroadcastTo", ["x"], false, ({ dy, x: [x] }) => ({ x: () => unbroadcast(dy, x!.shape) }))
  gradient("Tile", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      const reps = attributes.reps as number[]
      const split = x!.shape.flatMap((d, i) => [reps[i]!, d])
      return tf.reshape(
        tf.sum(
          tf.reshape(dy, split),
          x!.shape.map((_, i) => 2 * i),
        ),
        x!.shape,
      )
    },
  }))
  gradient("Slice", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      const [begin] = tf.slice_util.parseSliceParams(x!, attributes.begin, attributes.size)
      return tf.pad(
        dy,
        begin!.map((b, i) => [b, x!.shape[i]! - b - dy.shape[i]!] as [number, number]),
      )
    },
  }))
  gradient("StridedSlice", ["x"], false, ({ dy, x: [x], attributes: a }) => ({
    x: () => {
      const info = tf.slice_util.sliceInfo(
        x!.shape,
        a.begin,
        a.end,
        a.strides,
        a.beginMask,
        a.endMask,
        a.ellipsisMask,
        a.newAxisMask,
        a.shrinkAxisMask,
      )
      let out = tf.reshape(dy, info.finalShapeSparse)
      // Per axis: which source positions were taken.
      info.begin.forEach((begin, axis) => {
        const n = info.finalShapeSparse[axis]!
        const at = Array.from({ length: n }, (_, i) => begin + i * info.strides[axis]!)
        const shape = [...out.shape]
        shape[axis] = x!.shape[axis]!
        out = scatterAlong(out, tf.tensor1d(at, "int32"), axis, shape)
      })
      return out
    },
  }))
  gradient("PadV2", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () =>
      tf.slice(
        dy,
        (attributes.paddings as [number, number][]).map((p) => p[0]),
        x!.shape,
      ),
  }))
  gradient("MirrorPad", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      let out = dy
      ;(attributes.paddings as [number, number][]).forEach((padding, axis) => {
        if (padding[0] === 0 && padding[1] === 0) return
        const shape = [...out.shape]
        shape[axis] = x!.shape[axis]!
        out = scatterAlong(out, tf.tensor1d(mirrored(shape[axis]!, padding, attributes.mode), "int32"), axis, shape)
      })
      return out
    },
  }))
  gradient("Concat", "all", false, ({ dy, x, attributes }) => {
    const axis = tf.util.parseAxisParam(attributes.axis, x[0]!.shape)[0]!
    let at = 0
    return Object.fromEntries(
      x.map((t, i) => {
        const begin = t.shape.map(() => 0)
        begin[axis] = at
        at += t.shape[axis]!
        return [i, () => tf.slice(dy, begin, t.shape)]
      }),
    )
  })
  gradient("SplitV", [], false, ({ dys, attributes }) => ({ x: () => tf.concat([...dys], attributes.axis) }))
  gradient("Pack", "all", false, ({ dy, x, attributes }) => {
    const axis = tf.util.parseAxisParam(attributes.axis, dy.shape)[0]!
    return Object.fromEntries(
      x.map((t, i) => {
        const begin = dy.shape.map((_, d) => (d === axis ? i : 0))
        const size = dy.shape.map((n, d) => (d === axis ? 1 : n))
        return [i, () => tf.reshape(tf.slice(dy, begin, size), t.shape)]
      }),
    )
  })
  gradient("Unpack", [], false, ({ dys, attributes }) => ({ value: () => tf.stack([...dys], attributes.axis) }))
  gradient("GatherV2", ["x", "indices"], false, ({ dy, x: [x, indices], attributes }) => ({
    x: () => {
      const axis = tf.util.parseAxisParam(attributes.axis, x!.shape)[0]!
      const batch = (attributes.batchDims ?? 0) as number
      if (batch === 0) return scatterAlong(dy, indices!, axis, x!.shape)
      // Fold the batch dimensions into the indices: row b·n + i of the flattened tensor.
      const b = x!.shape.slice(0, batch).reduce((p, d) => p * d, 1)
      const n = x!.shape[axis]!
      const inner = indices!.shape.slice(batch)
      const { order, inverse } = toFront(x!.rank - batch, axis - batch)
      const shift = order.map((i) => i + batch)
      const lead = Array.from({ length: batch }, (_, i) => i)
      const moved = tf.transpose(
        tf.reshape(dy, [...x!.shape.slice(0, axis), tf.util.sizeFromShape(inner), ...x!.shape.slice(axis + 1)]),
        [...lead, ...shift],
      )
      const rest = shift.slice(1).map((i) => x!.shape[i]!)
      const m = tf.util.sizeFromShape(inner)
      const at = tf.add(
        tf.reshape(tf.cast(indices!, "int32"), [b, m]),
        tf.mul(tf.reshape(tf.range(0, b, 1, "int32"), [b, 1]), tf.scalar(n, "int32")),
      )
      const summed = scatterRows(tf.reshape(moved, [b * m, ...rest]), tf.reshape(at, [b * m]), b * n)
      const back = [...lead, ...inverse.map((i) => i + batch)]
      return tf.transpose(tf.reshape(summed, [...x!.shape.slice(0, batch), n, ...rest]), back)
    },
    indices: () => zeros(indices!),
  }))
  gradient("GatherNd", ["params", "indices"], false, ({ dy, x: [params, indices] }) => ({
    params: () => tf.scatterND(indices!, dy, params!.shape),
    indices: () => zeros(indices!),
  }))
  gradient("ScatterNd", ["indices", "updates"], false, ({ dy, x: [indices] }) => ({
    indices: () => zeros(indices!),
    updates: () => tf.gatherND(dy, indices!),
  }))
  gradient("TensorScatterUpdate", ["tensor", "indices", "updates"], false, ({ dy, x: [tensor, indices, updates] }) => ({
    tensor: () => tf.tensorScatterUpdate(dy, indices!, tf.zeros(updates!.shape)),
    indices: () => zeros(indices!),
    updates: () => tf.gatherND(dy, indices!) ?? zeros(tensor!),
  }))
  gradient("UnsortedSegmentSum", ["x", "segmentIds"], false, ({ dy, x: [x, ids] }) => ({
    x: () => {
      // Negative segments are dropped in the sum.
      const inside = tf.greaterEqual(ids!, tf.scalar(0, "int32"))
      const rows = tf.gather(dy, tf.maximum(ids!, tf.scalar(0, "int32")))
      const column = tf.reshape(inside, [ids!.size, ...x!.shape.slice(1).map(() => 1)])
      return tf.mul(rows, tf.cast(column, "float32"))
    },
    segmentIds: () => zeros(ids!),
  }))
  gradient("SpaceToBatchND", [], false, ({ dy, attributes }) => ({
    x: () => tf.batchToSpaceND(dy, attributes.blockShape, attributes.paddings),
  }))
  gradient("BatchToSpaceND", [], false, ({ dy, attributes }) => ({
    x: () => tf.spaceToBatchND(dy, attributes.blockShape, attributes.crops),
  }))
  gradient("DepthToSpace", ["x"], false, ({ dy, x: [x], attributes }) => ({
    x: () => {
      const s = attributes.blockSize as number
      const [n, h, w, c] = x!.shape as [number, number, number, number]
      const split = tf.reshape(dy, [n, h, s, w, s, c / (s * s)])
      return tf.reshape(tf.transpose(split, [0, 1, 3, 2, 4, 5]), x!.shape)
    },
  }))
}
