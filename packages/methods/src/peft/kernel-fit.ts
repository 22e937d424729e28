/**
 * How well a matrix is fitted by a merge of two small factors: linear (a rank-8 matrix) against non-linear kernels
 * (SNELL, arXiv 2411.01800, Fig. 4a, at 2000 steps of Adam with learning rate 1e-2 instead of 1e5 with 1e-4).
 */

import { adamw, train, underPrefix, withPrefix } from "@exp/nn"
import { fillNormal, fillUniform, key } from "@exp/random"
import { Metric, Task } from "@exp/spec"
import {
  type DeviceName,
  type HostTensor,
  type HostTensors,
  openDevice,
  type Step,
  type Tensors,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { linearKernel, mixture, piecewiseKernel, rbfKernel, sigmoidKernel } from "./kernels.ts"
import { leastErrorOfRank, median, numericalRank } from "./matrix-rank.ts"

const count = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })))

/** Config of {@link KernelFit}. */
export const KernelFitConfig = Schema.Struct({
  kernel: Schema.Literals(["linear", "piecewise", "sigmoid", "rbf", "mixture"]).annotate({
    description: "how the factors merge; mixture is SNELLA's kernel with 0.1 on its distances",
  }),
  target: Schema.Literals(["dense", "sparse"]).annotate({
    description: "entries N(0,1), all of them or each with probability 0.1",
  }),
  size: count
    .annotate({ description: "rows and columns of the target" })
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(64))),
  rank: count
    .annotate({ description: "columns of each factor; even" })
    .pipe(Schema.check(Schema.isMultipleOf(2)), Schema.withDecodingDefaultKey(Effect.succeed(8))),
  steps: count
    .annotate({ description: "full-batch steps of Adam" })
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(2000))),
  learningRate: Schema.Finite.pipe(
    Schema.check(Schema.isGreaterThan(0)),
    Schema.annotate({ description: "of Adam, constant" }),
    Schema.withDecodingDefaultKey(Effect.succeed(1e-2)),
  ),
})
export type KernelFitConfig = typeof KernelFitConfig.Type

/** The target matrix of a seed, row-major, size². */
export function fitTarget(kind: KernelFitConfig["target"], size: number, seed: number): Float32Array {
  const values = fillNormal(key(seed, "kernel-fit", "target"), new Float32Array(size * size))
  if (kind === "dense") return values
  const kept = fillUniform(key(seed, "kernel-fit", "kept"), new Float32Array(size * size))
  return values.map((value, i) => (kept[i]! < 0.1 ? value : 0))
}

/** Factors N(0,1), and the scalars α, β, γ of the kernels that have them. */
export function fitFactors(config: KernelFitConfig, seed: number): HostTensors {
  const { size, rank, kernel } = config
  const factor = (role: string): HostTensor => ({
    data: fillNormal(key(seed, "kernel-fit", role), new Float32Array(size * rank)),
    shape: [size, rank],
    dtype: "float32",
  })
  const one = (value: number): HostTensor => ({ data: new Float32Array([value]), shape: [1], dtype: "float32" })
  const scalars: HostTensors =
    kernel === "sigmoid"
      ? { alpha: one(2), beta: one(1), gamma: one(-1) }
      : kernel === "rbf"
        ? { alpha: one(2), beta: one(0.1), gamma: one(-1) }
        : kernel === "mixture"
          ? { alpha: one(1), beta: one(0), gamma: one(1) }
          : {}
  return { a: factor("a"), b: factor("b"), ...scalars }
}

/** The fitted matrix [size, size] of factors [size, rank]; piecewise kernels take the two halves of the columns. */
export function fittedMatrix(kernel: KernelFitConfig["kernel"], params: Tensors): tf.Tensor2D {
  const a = params["a"]!
  const b = params["b"]!
  const scalars = { alpha: params["alpha"]!, beta: params["beta"]!, gamma: params["gamma"]! }
  if (kernel === "linear") return linearKernel(a, b)
  if (kernel === "sigmoid") return sigmoidKernel(a, b, scalars)
  if (kernel === "rbf") return rbfKernel(a, b, scalars)
  const pieces = (x: tf.Tensor) => {
    const [rows, columns] = x.shape as [number, number]
    return tf.transpose(tf.reshape(x, [rows, 2, columns / 2]), [1, 0, 2])
  }
  if (kernel === "piecewise") return piecewiseKernel(pieces(a), pieces(b), [1, -1])
  return mixture(piecewiseKernel(pieces(a), pieces(b)), scalars)
}

/** One step of Adam on the mean squared error; the state holds `params.*`, `optimiser.*` and `target`. */
export function fitStep(kernel: KernelFitConfig["kernel"]): Step {
  return (state, batch) => {
    const params = underPrefix("params", state)
    const { value, gradients } = valueAndGradients(
      (factors) => tf.mean(tf.square(tf.sub(fittedMatrix(kernel, factors), state["target"]!))),
      params,
    )
    const next = adamw.update({
      params,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: batch["learning_rate"]!,
    })
    return {
      state: { ...state, ...withPrefix("params", next.params), ...withPrefix("optimiser", next.state) },
      metrics: { loss: value },
    }
  }
}

/** The state of a fit at the start. */
function initialFit(config: KernelFitConfig, seed: number): HostTensors {
  const { size } = config
  const params = fitFactors(config, seed)
  return {
    ...withPrefix("params", params),
    ...withPrefix("optimiser", adamw.init(params)),
    target: { data: fitTarget(config.target, size, seed), shape: [size, size], dtype: "float32" },
  }
}

/** The exact study of what a merge of two factors can express. */
export const KernelFit = Task.make("kernel-fit", {
  version: 1,
  description: "Fit a random matrix by a merge of two small factors",
  config: KernelFitConfig,
  metrics: {
    "train/loss": Metric.min({ description: "mean squared error during the fit" }),
    "fit/mse": Metric.min({ description: "mean squared error of the fitted matrix" }),
    "fit/svd8": Metric.min({ description: "least mean squared error of any matrix of the factors' rank" }),
    "fit/excess": Metric.min({ description: "fit/mse less fit/svd8; below 0 only a non-linear kernel can be" }),
    "fit/rank": Metric.max({ description: "numerical rank of the fitted matrix" }),
    "time/step_ms": Metric.min({ unit: "ms" }),
  },
  trainingStep: (config, seed) => ({
    name: `${config.kernel} kernel`,
    step: fitStep(config.kernel),
    state: initialFit(config, seed),
    batch: { learning_rate: { data: new Float32Array([config.learningRate]), shape: [], dtype: "float32" } },
  }),
  run: async (config, trial) => {
    const { size, rank, steps, kernel } = config
    const device = await openDevice(trial.device as DeviceName)
    const target = fitTarget(config.target, size, trial.seed)
    const program = device.compile(fitStep(kernel), { name: "kernel-fit" })
    // A step that only shows the fitted matrix of the state.
    const show = device.compile((state) => ({
      state,
      metrics: { fitted: fittedMatrix(kernel, underPrefix("params", state)) },
    }))
    try {
      const times: number[] = []
      let started = performance.now()
      const { diverged } = await train({
        program,
        seed: trial.seed,
        steps,
        initial: initialFit(config, trial.seed),
        batches: () => ({}),
        scalars: () => ({ learning_rate: config.learningRate }),
        chunk: device.compiles ? 100 : 10,
        onMetrics: (step, metrics) => {
          if (step % 100 === 0) trial.log(step, { "train/loss": metrics["loss"]!.data[0]! })
        },
        pauses: [
          {
            every: 100,
            run: () => {
              times.push((performance.now() - started) / 100)
              started = performance.now()
            },
          },
        ],
        onDivergence: "stop",
        sink: trial,
      })
      if (diverged) trial.logger.warn(diverged.message)
      const state = await program.state()
      show.load(withPrefix("params", underPrefix("params", state)))
      const fitted = (await show.run({}, { seed: 0, step: 0 }))["fitted"]!.data
      let sum = 0
      for (let i = 0; i < fitted.length; i++) sum += (fitted[i]! - target[i]!) ** 2
      const mse = sum / fitted.length
      const svd8 = leastErrorOfRank(target, size, size, rank)
      trial.log(steps, {
        "fit/mse": mse,
        "fit/svd8": svd8,
        "fit/excess": mse - svd8,
        "fit/rank": numericalRank(fitted, size, size),
        "time/step_ms": median(times),
      })
    } finally {
      program.dispose()
      show.dispose()
      device.dispose()
    }
  },
})
