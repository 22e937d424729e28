/** The tower-teacher study: learn the labels of a teacher whose changed layers are known, with a choice of layers. */
import { linearDecay } from "@exp/nn"
import { fillNormal, key, permutation } from "@exp/random"
import { Metric, Task } from "@exp/spec"
import type { DeviceName, HostTensors } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, positive } from "../config-fields.ts"
import { LayerChoice, layerObjection, roundSamples } from "./layer-choice.ts"
import { initModules, LayerModules } from "./layer-modules.ts"
import { layeredExample } from "./layered-example.ts"
import { layeredMetrics, trainLayered } from "./layered-training.ts"
import { largestScores, type TowerConfig, teacherWeights, towerModel, towerScores, towerWeights } from "./tower.ts"
import { paddedRows } from "./tuned-training.ts"

const Fields = Schema.Struct({
  depth: atLeast(1).pipe(described("layers of the tower"), defaultsTo(12)),
  width: atLeast(2).pipe(described("D, width of the residual stream"), defaultsTo(24)),
  hidden: atLeast(1).pipe(described("H, units of a layer"), defaultsTo(48)),
  teacherLayers: Schema.Array(atLeast(0)).pipe(described("layers that the teacher changes"), defaultsTo([0, 1, 2])),
  teacherRank: atLeast(1).pipe(described("rank of its changes"), defaultsTo(3)),
  modules: LayerModules.annotate({ description: "the modules of every layer" }),
  layers: LayerChoice.annotate({ description: "which layers are trained at each step" }),
  evictMoments: Schema.Boolean.pipe(
    described("drop the moments of layers that are not trained at the moment; changes the algorithm"),
    defaultsTo(false),
  ),
  steps: atLeast(1).pipe(described("optimiser steps"), defaultsTo(1500)),
  batchSize: atLeast(1).pipe(described("rows of a batch"), defaultsTo(32)),
  learningRate: positive.annotate({ description: "largest learning rate: warm-up, then linear decay to 0" }),
  warmup: atLeast(0).pipe(described("steps of the linear warm-up"), defaultsTo(100)),
  weightDecay: nonNegative.pipe(described("decoupled weight decay of the modules"), defaultsTo(0)),
  trainRows: atLeast(1).pipe(defaultsTo(2000)),
  testRows: atLeast(1).pipe(defaultsTo(2000)),
  evaluate: Schema.Literals(["test", "validation"]).pipe(
    described("inputs that the result is measured on; validation while tuning"),
    defaultsTo("test"),
  ),
})

/** Config of {@link TowerTeacher}. */
export const TowerTeacherConfig = Fields.pipe(
  Schema.check(
    Schema.makeFilter(({ depth, layers, teacherLayers }: typeof Fields.Type) => {
      const wrong = teacherLayers.find((layer) => layer >= depth)
      return wrong === undefined
        ? layerObjection(layers, depth)
        : `teacherLayers names layer ${wrong}, but the tower has ${depth} layers, 0 to ${depth - 1}`
    }),
  ),
)
export type TowerTeacherConfig = typeof TowerTeacherConfig.Type

const classes = 10

const towerOf = ({ depth, width, hidden }: TowerTeacherConfig): TowerConfig => ({ depth, width, hidden, classes })

/** What is trained: the frozen tower, and modules in its layers. */
function studentOf(config: TowerTeacherConfig, seed: number) {
  const { modules, layers, weightDecay } = config
  const tower = towerOf(config)
  const model = towerModel(tower)
  const frozen = towerWeights(tower, seed)
  const params = initModules(modules, model, frozen, key(seed, "modules"))
  return { model, modules, choice: layers, options: { weightDecay, dropout: 0 }, params, frozen, seed }
}

/** IST and its baselines on a tower of which only some layers need a change. */
export const TowerTeacher = Task.make("tower-teacher", {
  version: 1,
  description: "Learn a teacher that differs from a frozen residual tower in a few layers, training few layers a step",
  config: TowerTeacherConfig,
  metrics: {
    ...layeredMetrics,
    "test/accuracy": Metric.max({ unit: "ratio", description: "agreement with the teacher on test inputs" }),
    "test/loss": Metric.min({ description: "cross-entropy on test inputs" }),
    "val/accuracy": Metric.max({ unit: "ratio", description: "on validation inputs, while tuning" }),
    "val/loss": Metric.min({ description: "on validation inputs, while tuning" }),
    "ist/true_share": Metric.max({
      unit: "ratio",
      description: "of all layers trained over the steps, the share that the teacher changed",
    }),
  },
  needs: () => ({}),
  trainingStep: (config, seed) => {
    const { depth, width, hidden, batchSize } = config
    return layeredExample(`${depth}-layer tower of width ${width} and ${hidden} units`, studentOf(config, seed), {
      inputs: {
        data: fillNormal(key(seed, "tower", "example"), new Float32Array(batchSize * width)),
        shape: [batchSize, width],
        dtype: "float32",
      },
      labels: { data: new Int32Array(batchSize), shape: [batchSize], dtype: "int32" },
      weights: { data: new Float32Array(batchSize).fill(1), shape: [batchSize], dtype: "float32" },
    })
  },
  run: async (config, trial) => {
    const { width, batchSize, steps, trainRows, testRows, layers } = config
    const { seed } = trial
    const tower = towerOf(config)
    const student = studentOf(config, seed)
    const weights = student.frozen
    const teacher = teacherWeights(tower, weights, config.teacherLayers, config.teacherRank, seed)
    const draw = (stream: string, rows: number) => {
      const inputs = fillNormal(key(seed, "tower", "inputs", stream), new Float32Array(rows * width))
      return { inputs, labels: largestScores(towerScores(tower, teacher, inputs), classes), rows }
    }
    const train = draw("train", trainRows)
    const shown = draw(config.evaluate, testRows)
    const batchOf = (from: typeof train, indices: ArrayLike<number>, size: number): HostTensors => {
      const { rows, weights: real } = paddedRows(from.inputs, width, indices, size)
      const labels = new Int32Array(size)
      for (let i = 0; i < indices.length; i++) labels[i] = from.labels[indices[i]!]!
      return { inputs: rows, labels: { data: labels, shape: [size], dtype: "int32" }, weights: real }
    }
    const perEpoch = Math.ceil(trainRows / batchSize)
    let order: Uint32Array = new Uint32Array(0)
    let orderOf = -1
    const batch = (step: number): HostTensors => {
      const epoch = Math.floor(step / perEpoch)
      if (epoch !== orderOf) {
        order = permutation(key(seed, "epoch", epoch), trainRows)
        orderOf = epoch
      }
      const first = (step % perEpoch) * batchSize
      return batchOf(train, order.subarray(first, first + batchSize), batchSize)
    }
    const rate = linearDecay({ learningRate: config.learningRate, steps, warmup: Math.min(config.warmup, steps) })
    const result = await trainLayered({
      device: trial.device as DeviceName,
      structure: JSON.stringify(["tower", tower]),
      ...student,
      steps,
      batch,
      learningRate: rate,
      roundBatch: (round) => {
        const size = layers._tag === "Ist" ? layers.importanceBatch : 1
        const rows = roundSamples(trainRows, size, round, seed)
        return batchOf(train, rows, rows.length)
      },
      evictMoments: config.evictMoments,
      checkpointEvery: 500,
      sink: trial,
    })
    try {
      const size = Math.min(500, testRows)
      const batches = Array.from({ length: Math.ceil(testRows / size) }, (_, i) => {
        const rows = Uint32Array.from({ length: Math.min(size, testRows - i * size) }, (_, j) => i * size + j)
        return batchOf(shown, rows, size)
      })
      const { accuracy, loss } = await result.evaluate(batches)
      const { counts } = result.sampler
      const all = counts.reduce((a, b) => a + b, 0)
      const part = config.evaluate === "test" ? "test" : "val"
      trial.log(steps, {
        ...result.ledger,
        [`${part}/accuracy`]: accuracy,
        [`${part}/loss`]: loss,
        "ist/true_share": config.teacherLayers.reduce((sum, layer) => sum + counts[layer]!, 0) / Math.max(1, all),
      })
    } finally {
      result.release()
    }
  },
})
