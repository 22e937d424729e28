/** Training with a layer choice: the loop, IST's importance rounds between steps, and the ledger of what it cost. */
import {
  adamwBytes,
  countParameters,
  floatBytes,
  hostScalar,
  pick,
  type TrainingSink,
  tensorBytes,
  train,
  withPrefix,
} from "@exp/nn"
import { Metric } from "@exp/spec"
import { type DeviceName, type HostTensors, type Program, type Step, traceCost } from "@exp/tensor"
import { borrowProgram, type GraphCost, giveBackProgram } from "./kept-programs.ts"
import { type LayerChoice, LayerSampler } from "./layer-choice.ts"
import type { LayerModules } from "./layer-modules.ts"
import {
  type LayeredModel,
  type LayeredStepOptions,
  layeredState,
  layeredStep,
  trainedNames,
  trainingMarks,
} from "./layered-step.ts"
import { median } from "./matrix-rank.ts"
import { MomentMemory } from "./moment-memory.ts"

/** What is trained, and how it is fed. */
export interface LayeredTraining {
  readonly device: DeviceName
  /** Names the model's structure: equal names must mean equal models. */
  readonly structure: string
  readonly model: LayeredModel
  readonly modules: LayerModules
  readonly choice: LayerChoice
  readonly options: LayeredStepOptions
  /** Modules, and what else is trained at every step. */
  readonly params: HostTensors
  readonly frozen: HostTensors
  readonly seed: number
  readonly steps: number
  /** The model's tensors of a step's batch. */
  readonly batch: (step: number) => HostTensors
  readonly learningRate: (step: number) => number
  /** The batch of an importance round, the same for all its candidates; of training samples. */
  readonly roundBatch?: (round: number) => HostTensors
  /** What `mem/*` and `flops/*` are reported for, traced from shapes without allocating anything. Default: what is trained. */
  readonly ledger?: LedgerSubject
  /** Drop the moments of layers that are not trained at the moment. Changes the algorithm. */
  readonly evictMoments?: boolean
  readonly checkpointEvery?: number
  readonly sink?: TrainingSink & { readonly log?: (step: number, values: Record<string, number>) => void }
}

type Shapes = Parameters<typeof traceCost>[1]["batch"]

/** A model by its shapes, with as many layers as the one that is trained and the same names of parameters. */
export interface LedgerSubject {
  readonly model: LayeredModel
  readonly params: Shapes
  readonly frozen: Shapes
  readonly batch: Shapes
}

/** Sums over steps, for means; and the largest values. Part of a checkpoint. */
interface Totals {
  steps: number
  rounds: number
  flops: number
  roundFlops: number
  readonly sum: Record<Watched, number>
  readonly most: Record<Watched, number>
}
const watched = ["grads", "saved", "peak", "optimizer"] as const
type Watched = (typeof watched)[number]
const nothing = (): Record<Watched, number> => ({ grads: 0, saved: 0, peak: 0, optimizer: 0 })

/** What a training leaves: its sampler, its ledger, and the trained model ready to be evaluated. */
export interface LayeredResult {
  readonly sampler: LayerSampler
  /** Values of {@link layeredMetrics}. */
  readonly ledger: Record<string, number>
  readonly divergedAt: number | undefined
  /** The state at the end. */
  readonly state: HostTensors
  /** Runs batches without marks on the trained model and adds up their sums. */
  readonly evaluate: (batches: Iterable<HostTensors>) => Promise<Evaluation>
  /** The same with the modules as they were at the start. Call it last: the trained state is gone afterwards. */
  readonly evaluateAtStart: (batches: Iterable<HostTensors>) => Promise<Evaluation>
  /** Gives the program back. Call it when done. */
  readonly release: () => void
}

/** Sums over the rows of all batches, as means. */
export interface Evaluation {
  /** Cross-entropy in nats. */
  readonly loss: number
  readonly accuracy: number
  /** Predicted class of every row, padding included. */
  readonly predicted: readonly number[]
}

const bytes = (description: string) => Metric.min({ unit: "B", description })

/** The metrics that every task with a layer choice reports. */
export const layeredMetrics = {
  "train/loss": Metric.min({ description: "cross-entropy of the step's batch" }),
  "train/diverged": Metric.min({ description: "1 when the loss was not finite and training stopped" }),
  "ist/score/*": Metric.min({ description: "z of each layer after a round; high means unimportant" }),
  "ist/active/*": Metric.max({ description: "1 at the steps at which the layer is trained" }),
  "ist/freq/*": Metric.max({ unit: "ratio", description: "share of the steps at which the layer was trained" }),
  "ist/spread": Metric.max({ description: "largest less smallest score at the end" }),
  "mem/weights": bytes("all parameters, the modules included"),
  "mem/trainable": Metric.min({ description: "entries that are trained at some step" }),
  "mem/grads": bytes("gradients of a step, mean over steps"),
  "mem/grads_max": bytes("the same, maximum"),
  "mem/optimizer": bytes("AdamW's moments and counters held at the end"),
  "mem/optimizer_mean": bytes("the same, mean over steps"),
  "mem/saved_activations": bytes("alive at the loss in the graph of a step, mean over steps"),
  "mem/saved_activations_max": bytes("the same, maximum"),
  "mem/peak": bytes(
    "held state, batch and the most intermediate bytes alive at once in a step's graph, mean over steps",
  ),
  "mem/peak_max": bytes("the same, maximum"),
  "flops/step": Metric.min({ unit: "FLOP", description: "of a training step, mean over steps" }),
  "flops/step_dense": Metric.min({ unit: "FLOP", description: "of a step that trains all layers" }),
  "flops/forward": Metric.min({ unit: "FLOP", description: "of a forward pass on a training batch" }),
  "flops/round": Metric.min({ unit: "FLOP", description: "of an importance round" }),
  "flops/total": Metric.min({ unit: "FLOP", description: "of the whole training, importance rounds included" }),
  "time/step_ms": Metric.min({ unit: "ms", description: "wall time of a training step, median, compilation excluded" }),
  "time/round_ms": Metric.min({ unit: "ms", description: "wall time of an importance round, median" }),
  "time/compile_ms": Metric.min({ unit: "ms", description: "first runs of graphs that were not compiled yet" }),
  "graph/variants": Metric.min({ description: "sets of layers that were trained: graphs of the training step" }),
} as const

const costOfGraph = (cost: {
  flops: number
  aliveAt: Readonly<Record<string, number>>
  peakBytes: number
  inputBytes: number
}): GraphCost => ({
  flops: cost.flops,
  saved: cost.aliveAt["loss"] ?? 0,
  peak: cost.peakBytes,
  inputs: cost.inputBytes,
})

/** The cost of training `layers` for one step, or of the loss under suppression, from shapes alone. */
export function layeredCost(
  step: Step,
  state: Shapes,
  batch: Shapes,
  what: readonly number[] | "suppression",
  layers: number,
): GraphCost {
  const scalar = { shape: [], dtype: "float32" as const }
  const marks: typeof batch =
    what === "suppression"
      ? { suppression: { shape: [layers], dtype: "float32" as const } }
      : { learning_rate: scalar, ...Object.fromEntries(what.map((layer) => [`train.${layer}`, scalar])) }
  return costOfGraph(traceCost(step, { state, batch: { ...batch, ...marks } }))
}

/** Bytes of the gradients of a step that trains `layers`. */
export function gradientBytes(params: Shapes, layers: readonly number[]): number {
  const names = new Set(trainedNames(params, layers))
  return floatBytes(pick(params, (name) => names.has(name)))
}

/**
 * Trains for all steps, from the newest checkpoint if there is one.
 *
 * Before step t, where the choice says so, an importance round runs the candidates' losses on one batch and updates the
 * scores; then the layers of step t are drawn. A loss that is not finite ends the training early and is reported.
 *
 * @throws TooFewLayers when the model has too few layers for the choice
 * @throws Interrupted when the sink's signal is aborted, after saving a checkpoint
 */
export async function trainLayered(training: LayeredTraining): Promise<LayeredResult> {
  const { model, modules, params, frozen, seed, sink, options } = training
  const sampler = new LayerSampler(training.choice, model.layers, seed)
  const step = layeredStep(model, modules, options)
  const { ledger: subject } = training
  const initial = layeredState(params, frozen)
  const counted = subject ?? { model, params: shapesOf(params), frozen: shapesOf(frozen) }
  const countedStep = subject ? layeredStep(subject.model, modules, options) : step
  const countedState = layeredShapes(counted.params, counted.frozen)
  const weightBytes = totalBytes(counted.params) + totalBytes(counted.frozen)
  const lent = await borrowProgram(
    JSON.stringify([training.structure, modules, options, subject && [shapesOf(subject.params), subject.batch]]),
    training.device,
    () => step,
  )
  const program = new MomentMemory(lent.program, { evict: training.evictMoments ?? false })
  const totals: Totals = { steps: 0, rounds: 0, flops: 0, roundFlops: 0, sum: nothing(), most: nothing() }
  const gradients = new Map<string, number>()
  const sets = new Set<string>()
  const times = { step: [] as number[], round: [] as number[], compile: 0 }
  let active: readonly number[] = []
  let started = 0

  /** The cost of a batch that was just run. Graphs that are new were compiled in that run. */
  const costOf = (name: string, what: readonly number[] | "suppression", batch: HostTensors): GraphCost => {
    const known = lent.costs.get(name)
    if (known) return known
    const graph = subject ? undefined : program.graph()
    const cost = graph
      ? costOfGraph(graph.cost)
      : layeredCost(countedStep, countedState, subject?.batch ?? batch, what, model.layers)
    lent.costs.set(name, cost)
    return cost
  }
  const graphName = (kind: string, batch: HostTensors) =>
    `${kind} ${Object.entries(batch).map(([name, { shape }]) => `${name}[${shape}]`)}`

  const round = async (number: number, at: number): Promise<void> => {
    const batch = training.roundBatch?.(number)
    if (!batch) throw new RangeError("importance rounds need a batch of training samples: give `roundBatch`")
    const candidates = sampler.candidates(number)
    const losses: number[] = []
    const began = performance.now()
    const name = graphName("importance", batch)
    const known = lent.costs.has(name)
    for (const set of candidates) {
      const suppression = { data: sampler.multipliers(set), shape: [model.layers], dtype: "float32" as const }
      const marked = { ...batch, suppression }
      const { loss } = await program.run(marked, { seed, step: at })
      losses.push(loss!.data[0]!)
      totals.roundFlops += costOf(name, "suppression", batch).flops
    }
    const spent = performance.now() - began
    if (known) times.round.push(spent)
    else times.compile += spent
    totals.rounds++
    sampler.learn(candidates, losses)
    sink?.log?.(at, Object.fromEntries([...sampler.scores].map((z, layer) => [`ist/score/${layer}`, z])))
  }

  let own: HostTensors = {}
  try {
    const { diverged } = await train({
      program,
      seed,
      steps: training.steps,
      initial,
      batches: async (at) => {
        const number = sampler.roundBefore(at)
        if (number !== undefined) await round(number, at)
        active = sampler.active(at)
        own = training.batch(at)
        started = performance.now()
        return { ...own, ...trainingMarks(active), learning_rate: hostScalar(training.learningRate(at)) }
      },
      // The layers of a step depend on the scores, and those on the step before.
      chunk: 1,
      onMetrics: (at, metrics) => {
        const spent = performance.now() - started
        const set = active.join()
        const name = graphName(`train ${set}`, own)
        if (lent.costs.has(name)) times.step.push(spent)
        else times.compile += spent
        const cost = costOf(name, active, own)
        sampler.count(active)
        sets.add(set)
        if (!gradients.has(set)) gradients.set(set, gradientBytes(counted.params, active))
        totals.steps++
        totals.flops += cost.flops
        const moments = adamwBytes(pick(counted.params, (name) => program.holds(name)))
        const now: Record<Watched, number> = {
          grads: gradients.get(set)!,
          saved: cost.saved,
          peak: weightBytes + moments + cost.inputs + cost.peak,
          optimizer: moments,
        }
        for (const what of watched) {
          totals.sum[what] += now[what]
          totals.most[what] = Math.max(totals.most[what], now[what])
        }
        sink?.log?.(at, {
          "train/loss": metrics["loss"]!.data[0]!,
          ...Object.fromEntries(active.map((layer) => [`ist/active/${layer}`, 1])),
        })
      },
      onDivergence: "stop",
      ...(training.checkpointEvery && { checkpointEvery: training.checkpointEvery }),
      hostState: {
        save: () => JSON.stringify({ sampler: sampler.save(), totals, sets: [...sets] }),
        restore: (text) => {
          const saved = JSON.parse(text) as {
            sampler: ReturnType<LayerSampler["save"]>
            totals: Totals
            sets: string[]
          }
          sampler.restore(saved.sampler)
          Object.assign(totals, saved.totals)
          for (const set of saved.sets) sets.add(set)
        },
      },
      ...(sink && { sink }),
    })
    const everything = Array.from({ length: model.layers }, (_, layer) => layer)
    const first = training.batch(0)
    /** Costs of graphs that need not have been run. */
    const traced = (kind: string, what: readonly number[] | "suppression"): GraphCost => {
      const name = graphName(kind, first)
      const known = lent.costs.get(name)
      if (known) return known
      const cost = layeredCost(countedStep, countedState, subject?.batch ?? first, what, model.layers)
      lent.costs.set(name, cost)
      return cost
    }
    const mean = (what: Watched) => totals.sum[what] / Math.max(1, totals.steps)
    const ledger: Record<string, number> = {
      "train/diverged": diverged ? 1 : 0,
      "mem/weights": weightBytes,
      "mem/trainable": countParameters(reachableParams(counted.params, training.choice, sampler)),
      "mem/grads": mean("grads"),
      "mem/grads_max": totals.most.grads,
      "mem/optimizer": adamwBytes(pick(counted.params, (name) => program.holds(name))),
      "mem/optimizer_mean": mean("optimizer"),
      "mem/saved_activations": mean("saved"),
      "mem/saved_activations_max": totals.most.saved,
      "mem/peak": mean("peak"),
      "mem/peak_max": totals.most.peak,
      "flops/step": totals.flops / Math.max(1, totals.steps),
      "flops/step_dense": traced("dense", everything).flops,
      "flops/forward": traced("forward", "suppression").flops,
      "flops/total": totals.flops + totals.roundFlops,
      "time/compile_ms": times.compile,
      "graph/variants": sets.size,
      ...(times.step.length > 0 && { "time/step_ms": median(times.step) }),
      ...(totals.rounds > 0 && {
        "flops/round": totals.roundFlops / totals.rounds,
        "ist/spread": Math.max(...sampler.scores) - Math.min(...sampler.scores),
      }),
      ...(times.round.length > 0 && { "time/round_ms": median(times.round) }),
      ...Object.fromEntries(
        [...sampler.counts].map((count, layer) => [`ist/freq/${layer}`, count / Math.max(1, totals.steps)]),
      ),
    }
    return {
      sampler,
      ledger,
      divergedAt: diverged?.step,
      state: await program.state(),
      evaluate: (batches) => evaluate(program, batches, seed),
      evaluateAtStart: (batches) => {
        program.load(initial)
        return evaluate(program, batches, seed)
      },
      release: () => giveBackProgram(lent),
    }
  } catch (error) {
    giveBackProgram(lent)
    throw error
  }
}

/** Shapes alone, so that they can be a name. */
const shapesOf = (tensors: Shapes): Shapes =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape, dtype }]) => [name, { shape, dtype }]))

const totalBytes = (tensors: Shapes): number => Object.values(tensors).reduce((sum, t) => sum + tensorBytes(t), 0)

/** The shapes of a state with the moments of all parameters. */
export function layeredShapes(params: Shapes, frozen: Shapes): Shapes {
  const moments: Record<string, Shapes[string]> = {}
  for (const [name, { shape }] of Object.entries(params)) {
    moments[`first.${name}`] = { shape, dtype: "float32" }
    moments[`second.${name}`] = { shape, dtype: "float32" }
    moments[`count.${name}`] = { shape: [2], dtype: "float32" }
  }
  return { ...withPrefix("params", params), ...withPrefix("frozen", frozen), ...withPrefix("optimiser", moments) }
}

/** The parameters that a choice can train: of all layers where they are drawn, else of the fixed ones. */
function reachableParams(params: Shapes, choice: LayerChoice, sampler: LayerSampler): Shapes {
  if (choice._tag === "Ist" || choice._tag === "RandomLayers") return params
  const names = new Set(trainedNames(params, sampler.active(0)))
  return pick(params, (name) => names.has(name))
}

async function evaluate(program: Program, batches: Iterable<HostTensors>, seed: number): Promise<Evaluation> {
  let loss = 0
  let correct = 0
  let count = 0
  const predicted: number[] = []
  for (const batch of batches) {
    const values = await program.run(batch, { seed, step: 0 })
    loss += values["loss"]!.data[0]!
    correct += values["correct"]!.data[0]!
    count += values["count"]!.data[0]!
    for (const label of values["predicted"]!.data) predicted.push(label)
  }
  return { loss: loss / count, accuracy: correct / count, predicted }
}
