/**
 * The parameter-efficient tuners as typed config values. A tuner says which tensors are trained and what is added to
 * each linear map; everything else of a trial is the same for all of them.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const described =
  (description: string) =>
  <S extends Schema.Top>(schema: S): S["Rebuild"] =>
    schema.annotate({ description })

const rank = Schema.Int.pipe(
  Schema.check(Schema.isBetween({ minimum: 1, maximum: 1024 })),
  described("budget of the factors: r·(inputs + outputs) numbers for each linear map, as in LoRA"),
)
const kernelRank = Schema.Int.pipe(
  Schema.check(Schema.isBetween({ minimum: 2, maximum: 1024 }), Schema.isMultipleOf(2)),
  described("budget of the factors, r·(inputs + outputs) numbers for each linear map; even, half for each piece"),
)
const ratio = Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1 })))
const sparsity = ratio.pipe(described("fraction of the entries of each ΔW that is zeroed"))
const recompute = Schema.Boolean.pipe(
  described("build ΔW again in the backward pass instead of keeping its matrices"),
  Schema.withDecodingDefaultKey(Effect.succeed(true)),
)
const mode = Schema.Literals(["gated", "soft", "hard"]).pipe(
  described("what becomes of the survivors: K·|K| (the official code), K·(|K| − T) (the paper's text), or K"),
  Schema.withDecodingDefaultKey(Effect.succeed("gated" as const)),
)
const epochs = Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0)))

/** What can be trained: a union tagged by method. */
export const Tuner = Schema.TaggedUnion({
  FullFineTune: {},
  LinearProbe: {},
  BitFit: {},
  Lora: { rank, recompute },
  Adapter: {
    width: Schema.Int.pipe(
      Schema.check(Schema.isBetween({ minimum: 1, maximum: 4096 })),
      described("units of the bottleneck after each MLP"),
    ),
  },
  GradientMask: {
    sparsity: ratio.pipe(described("fraction of the entries of all tunable matrices together that stays frozen")),
    storage: Schema.Literals(["dense", "compressed"]).pipe(
      described("dense: a full ΔW and a mask for each matrix; compressed: values and indices of the trained entries"),
      Schema.withDecodingDefaultKey(Effect.succeed("dense" as const)),
    ),
  },
  KernelLora: { rank: kernelRank, recompute },
  KernelLoraMix: { rank: kernelRank, recompute },
  Snell: { rank: kernelRank, sparsity, mode, recompute },
  SparsifiedLora: { rank, sparsity, mode, recompute },
  Snella: {
    rank: kernelRank,
    sparsity: ratio.pipe(described("fraction of all weights that is zeroed at the end of training")),
    initialSparsity: ratio.pipe(
      described("fraction of all weights that is zeroed in the first epoch"),
      Schema.withDecodingDefaultKey(Effect.succeed(0)),
    ),
    warmupEpochs: epochs.pipe(
      described("epochs after the first one before the budget is divided"),
      Schema.withDecodingDefaultKey(Effect.succeed(0)),
    ),
    finalEpochs: epochs.pipe(
      described("epochs at the end at the final budget"),
      Schema.withDecodingDefaultKey(Effect.succeed(0)),
    ),
    interval: Schema.Int.pipe(
      Schema.check(Schema.isGreaterThan(0)),
      described("the budget is divided every so many epochs"),
      Schema.withDecodingDefaultKey(Effect.succeed(1)),
    ),
    kernel: Schema.Literals(["mixture", "piecewise"]).pipe(
      described("SNELLA's mixture kernel, or SNELL's piecewise one (ablation)"),
      Schema.withDecodingDefaultKey(Effect.succeed("mixture" as const)),
    ),
    allocation: Schema.Literals(["competition", "uniform"]).pipe(
      described("layers compete for the budget, or all have the same sparsity (ablation)"),
      Schema.withDecodingDefaultKey(Effect.succeed("competition" as const)),
    ),
    importance: Schema.Literals(["sensitivity", "magnitude"]).pipe(
      described("what a factor's importance is: |p·g|, or |p| (ablation)"),
      Schema.withDecodingDefaultKey(Effect.succeed("sensitivity" as const)),
    ),
    recompute,
  },
})
export type Tuner = typeof Tuner.Type
/** A tuner as it is written in an experiment: fields with a default may be left out. */
export type TunerInput = typeof Tuner.Encoded

type Input<Tag extends TunerInput["_tag"]> = Extract<TunerInput, { readonly _tag: Tag }>
type Fields<Tag extends TunerInput["_tag"]> = Omit<Input<Tag>, "_tag">

/** Trains everything. */
export const FullFineTune = (): Input<"FullFineTune"> => ({ _tag: "FullFineTune" })
/** Trains the head only. */
export const LinearProbe = (): Input<"LinearProbe"> => ({ _tag: "LinearProbe" })
/** Trains all biases, those of the layer norms included, and CLS (Ben Zaken et al., 2022). */
export const BitFit = (): Input<"BitFit"> => ({ _tag: "BitFit" })
/** ΔW = A·Bᵀ on the six maps of each block; B starts at 0 (Hu et al., 2022; scale 1). */
export const Lora = (fields: Fields<"Lora">): Input<"Lora"> => ({ _tag: "Lora", ...fields })
/** A bottleneck after each MLP (Houlsby et al., 2019). */
export const Adapter = (fields: Fields<"Adapter">): Input<"Adapter"> => ({ _tag: "Adapter", ...fields })
/** Trains the entries with the largest squared gradients at the pre-trained weights (SPT, GPS). */
export const GradientMask = (fields: Fields<"GradientMask">): Input<"GradientMask"> => ({
  _tag: "GradientMask",
  ...fields,
})
/** SNELL's kernel without competition ("kernel-lora"). */
export const KernelLora = (fields: Fields<"KernelLora">): Input<"KernelLora"> => ({ _tag: "KernelLora", ...fields })
/** SNELLA's mixture kernel without competition ("kernel-lora-mix"). */
export const KernelLoraMix = (fields: Fields<"KernelLoraMix">): Input<"KernelLoraMix"> => ({
  _tag: "KernelLoraMix",
  ...fields,
})
/** SNELL: sparse tuning with kernelised LoRA. A sparsity of exactly 0 is {@link KernelLora}, as in the official code. */
export const Snell = (fields: Fields<"Snell">): Input<"Snell"> => ({ _tag: "Snell", ...fields })
/** SNELL's competition on A·Bᵀ (its Table 5a). */
export const SparsifiedLora = (fields: Fields<"SparsifiedLora">): Input<"SparsifiedLora"> => ({
  _tag: "SparsifiedLora",
  ...fields,
})
/** SNELLA: competition across and within layers for a shrinking budget. */
export const Snella = (fields: Fields<"Snella">): Input<"Snella"> => ({ _tag: "Snella", ...fields })
