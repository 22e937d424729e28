import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Metric, Task } from "../src/spec.ts"

const positive = Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))
const whole = Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(1)))

const LoraSchema = Schema.TaggedStruct("Lora", {
  rank: whole.annotate({ description: "rank of the update" }),
  alpha: positive.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(1)),
    Schema.withConstructorDefault(Effect.succeed(1)),
  ),
})
const SnellaSchema = Schema.TaggedStruct("Snella", {
  rank: whole,
  sparsity: Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
})
const FullSchema = Schema.TaggedStruct("Full", {})

export const Lora = (fields: { readonly rank: number; readonly alpha?: number }) => LoraSchema.make(fields)
export const Snella = (fields: { readonly rank: number; readonly sparsity: number }) => SnellaSchema.make(fields)
export const Full = () => FullSchema.make({})

export const ToyConfig = Schema.Struct({
  model: Schema.Literals(["tiny", "small"]).annotate({ description: "which network" }),
  epochs: whole.annotate({ description: "passes over the data" }),
  learningRate: positive,
  holdout: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  schedule: Schema.Struct({
    kind: Schema.Literals(["cosine", "flat"]),
    warmup: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  }),
  tuner: Schema.Union([LoraSchema, SnellaSchema, FullSchema]),
  note: Schema.optionalKey(Schema.String),
})

/** A task with every kind of field that experiments meet: literals, bounds, defaults, nesting, tagged values. */
export const Toy = Task.make("toy", {
  version: 2,
  config: ToyConfig,
  metrics: {
    "train/loss": Metric.min(),
    "val/accuracy": Metric.max({ unit: "ratio" }),
    "test/accuracy": Metric.max({ unit: "ratio" }),
    "layer/sparsity/*": Metric.max(),
  },
  run: async (config, trial) => {
    trial.log(0, { "test/accuracy": config.epochs, "layer/sparsity/3": 0.5 })
  },
})
