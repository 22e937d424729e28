/** Probes of frozen features: multinomial logistic regression and ridge regression. */
import type { Device, HostTensors, Step } from "@exp/tensor"
import { linear, softmaxCrossEntropy, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Rows of features, [count, width]. */
export interface Features {
  readonly data: Float32Array
  readonly count: number
  readonly width: number
}

/** Subtracts the means of `reference` and divides by its standard deviations, column by column (constant columns: 1). */
export function standardise(features: Features, reference: Features): Features {
  const { width } = features
  const mean = new Float64Array(width)
  const deviation = new Float64Array(width)
  for (let i = 0; i < reference.count; i++)
    for (let j = 0; j < width; j++) mean[j]! += reference.data[i * width + j]! / reference.count
  for (let i = 0; i < reference.count; i++)
    for (let j = 0; j < width; j++) deviation[j]! += (reference.data[i * width + j]! - mean[j]!) ** 2 / reference.count
  const data = new Float32Array(features.data.length)
  for (let j = 0; j < width; j++) deviation[j] = Math.sqrt(deviation[j]!) || 1
  for (let i = 0; i < data.length; i++) data[i] = (features.data[i]! - mean[i % width]!) / deviation[i % width]!
  return { ...features, data }
}

/** The rows with the given numbers. */
export function selectRows({ data, width }: Features, rows: ArrayLike<number>): Features {
  const out = new Float32Array(rows.length * width)
  for (let i = 0; i < rows.length; i++) out.set(data.subarray(rows[i]! * width, (rows[i]! + 1) * width), i * width)
  return { data: out, count: rows.length, width }
}

/** A fitted classifier: scores = x·weight + bias. */
export interface LogisticProbe {
  /** [width, classes] */
  readonly weight: Float64Array
  readonly bias: Float64Array
  readonly iterations: number
  readonly loss: number
}

/** Mean cross-entropy and its gradient, over all rows: state x, labels; batch weight, bias. */
const logisticStep: Step = (state, batch) => {
  const { value, gradients } = valueAndGradients(
    (params) => tf.mean(softmaxCrossEntropy(linear(state["x"]!, params["weight"]!, params["bias"]), state["labels"]!)),
    { weight: batch["weight"]!, bias: batch["bias"]! },
  )
  return { state, metrics: { loss: value, weight: gradients["weight"]!, bias: gradients["bias"]! } }
}

/**
 * Multinomial logistic regression by L-BFGS on mean cross-entropy + ½·l2·‖weight‖² (bias free). The data pass of each
 * evaluation runs on `device`, the rest in double precision.
 *
 * @param labels class of each row, below `classes`
 * @param options `l2` default 1e-4; `iterations` at most, default 200; `tolerance` of the largest gradient entry, 1e-5
 */
export async function fitLogistic(
  device: Device,
  features: Features,
  labels: ArrayLike<number>,
  classes: number,
  options: { readonly l2?: number; readonly iterations?: number; readonly tolerance?: number } = {},
): Promise<LogisticProbe> {
  const { l2 = 1e-4, iterations = 200, tolerance = 1e-5 } = options
  const { width, count } = features
  const program = device.compile(logisticStep, { name: "logistic probe" })
  try {
    program.load({
      x: { data: features.data, shape: [count, width], dtype: "float32" },
      labels: { data: Int32Array.from(labels), shape: [count], dtype: "int32" },
    })
    const size = width * classes
    const evaluate = async (point: Float64Array) => {
      const batch: HostTensors = {
        weight: { data: Float32Array.from(point.subarray(0, size)), shape: [width, classes], dtype: "float32" },
        bias: { data: Float32Array.from(point.subarray(size)), shape: [classes], dtype: "float32" },
      }
      const out = await program.run(batch, { seed: 0, step: 0 })
      const gradient = new Float64Array(point.length)
      gradient.set(out["weight"]!.data)
      gradient.set(out["bias"]!.data, size)
      let penalty = 0
      for (let i = 0; i < size; i++) {
        penalty += 0.5 * l2 * point[i]! ** 2
        gradient[i]! += l2 * point[i]!
      }
      return { value: out["loss"]!.data[0]! + penalty, gradient }
    }
    const fit = await minimise(evaluate, new Float64Array(size + classes), iterations, tolerance)
    return {
      weight: fit.point.slice(0, size),
      bias: fit.point.slice(size),
      iterations: fit.iterations,
      loss: fit.value,
    }
  } finally {
    program.dispose()
  }
}

interface Evaluation {
  readonly value: number
  readonly gradient: Float64Array
}

const dot = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

/** L-BFGS with ten pairs and a backtracking line search (Nocedal and Wright 2006, algorithm 7.5). */
async function minimise(
  evaluate: (point: Float64Array) => Promise<Evaluation>,
  start: Float64Array,
  iterations: number,
  tolerance: number,
): Promise<{ point: Float64Array; value: number; iterations: number }> {
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = []
  let point = start
  let at = await evaluate(point)
  for (let iteration = 0; iteration < iterations; iteration++) {
    if (at.gradient.every((g) => Math.abs(g) <= tolerance)) return { point, value: at.value, iterations: iteration }
    const direction = at.gradient.map((g) => -g)
    const alphas: number[] = []
    for (const { s, y, rho } of pairs.toReversed()) {
      const alpha = rho * dot(s, direction)
      alphas.push(alpha)
      for (let i = 0; i < direction.length; i++) direction[i]! -= alpha * y[i]!
    }
    const newest = pairs.at(-1)
    if (newest) {
      const scale = 1 / (newest.rho * dot(newest.y, newest.y))
      for (let i = 0; i < direction.length; i++) direction[i]! *= scale
    }
    for (const { s, y, rho } of pairs) {
      const beta = rho * dot(y, direction)
      const alpha = alphas.pop()!
      for (let i = 0; i < direction.length; i++) direction[i]! += s[i]! * (alpha - beta)
    }
    const slope = dot(at.gradient, direction)
    let step = newest ? 1 : Math.min(1, 1 / Math.sqrt(dot(at.gradient, at.gradient)))
    let next: Float64Array | undefined
    let after: Evaluation | undefined
    for (let attempt = 0; attempt < 20; attempt++, step /= 2) {
      next = point.map((x, i) => x + step * direction[i]!)
      after = await evaluate(next)
      if (after.value <= at.value + 1e-4 * step * slope) break
      after = undefined
    }
    // The value is computed in single precision: where no step lowers it any more, this is the minimum to its accuracy.
    if (!next || !after) return { point, value: at.value, iterations: iteration }
    const s = next.map((x, i) => x - point[i]!)
    const y = after.gradient.map((g, i) => g - at.gradient[i]!)
    const curvature = dot(s, y)
    if (curvature > 1e-12) {
      pairs.push({ s, y, rho: 1 / curvature })
      if (pairs.length > 10) pairs.shift()
    }
    point = next
    at = after
  }
  return { point, value: at.value, iterations }
}

/** The class that a probe gives each row. */
export function classify(probe: LogisticProbe, { data, count, width }: Features): Uint8Array {
  const classes = probe.bias.length
  const out = new Uint8Array(count)
  const scores = new Float64Array(classes)
  for (let i = 0; i < count; i++) {
    scores.set(probe.bias)
    for (let j = 0; j < width; j++) {
      const x = data[i * width + j]!
      for (let c = 0; c < classes; c++) scores[c]! += x * probe.weight[j * classes + c]!
    }
    let best = 0
    for (let c = 1; c < classes; c++) if (scores[c]! > scores[best]!) best = c
    out[i] = best
  }
  return out
}

/** Share of equal entries. */
export function accuracy(predicted: ArrayLike<number>, labels: ArrayLike<number>): number {
  let right = 0
  for (let i = 0; i < labels.length; i++) if (predicted[i] === labels[i]) right++
  return right / labels.length
}

/**
 * The solution of (XᵀX + penalty·I)·w = Xᵀy by conjugate gradients (Hestenes and Stiefel 1952), which need products with
 * X only: the matrix of 3,072 pixels squared would take a minute to make and another to factorise.
 *
 * @param x rows [count, width]
 * @param target [count]
 * @returns [width], with a residual below 1e-9 of ‖Xᵀy‖, or what 20·width iterations came to
 */
function ridgeWeights(
  x: Float32Array | Float64Array,
  count: number,
  width: number,
  target: Float64Array,
  penalty: number,
): Float64Array {
  /** Σᵢ factorᵢ·xᵢ over the rows xᵢ, of which row i begins at `at`. */
  const transposed = (factorOf: (at: number, i: number) => number): Float64Array => {
    const out = new Float64Array(width)
    for (let i = 0, at = 0; i < count; i++, at += width) {
      const factor = factorOf(at, i)
      for (let j = 0; j < width; j++) out[j]! += factor * x[at + j]!
    }
    return out
  }
  const weight = new Float64Array(width)
  let residual = transposed((_, i) => target[i]!)
  const direction = residual.slice()
  let length = dot(residual, residual)
  const enough = length * 1e-18
  for (let iteration = 0; iteration < 20 * width && length > enough; iteration++) {
    const image = transposed((at) => {
      let sum = 0
      for (let j = 0; j < width; j++) sum += x[at + j]! * direction[j]!
      return sum
    })
    for (let j = 0; j < width; j++) image[j]! += penalty * direction[j]!
    const size = length / dot(direction, image)
    for (let j = 0; j < width; j++) weight[j]! += size * direction[j]!
    residual = residual.map((r, j) => r - size * image[j]!)
    const next = dot(residual, residual)
    for (let j = 0; j < width; j++) direction[j] = residual[j]! + (next / length) * direction[j]!
    length = next
  }
  return weight
}

/**
 * Coefficient of determination on test rows of a ridge regression fitted on training rows, 1 − SS_res/SS_tot. Features
 * are standardised on the training rows and the target is centred, so the intercept is free.
 *
 * @param l2 penalty on the weights, in units of the number of rows (default 1e-3)
 */
export function ridgeR2(
  train: Features,
  trainTarget: ArrayLike<number>,
  test: Features,
  testTarget: ArrayLike<number>,
  l2 = 1e-3,
): number {
  const { width, count } = train
  const x = standardise(train, train).data
  const z = standardise(test, train).data
  let mean = 0
  for (let i = 0; i < count; i++) mean += trainTarget[i]! / count
  const centred = Float64Array.from({ length: count }, (_, i) => trainTarget[i]! - mean)
  const weight = ridgeWeights(x, count, width, centred, l2 * count)
  let [residual, total, testMean] = [0, 0, 0]
  for (let i = 0; i < test.count; i++) testMean += testTarget[i]! / test.count
  for (let i = 0; i < test.count; i++) {
    let predicted = mean
    for (let j = 0; j < width; j++) predicted += weight[j]! * z[i * width + j]!
    residual += (testTarget[i]! - predicted) ** 2
    total += (testTarget[i]! - testMean) ** 2
  }
  return 1 - residual / total
}
