import { pick, underPrefix } from "@exp/nn"
import { fillNormal, key } from "@exp/random"
import { type DeviceName, type HostTensors, openDevice, valueAndGradients } from "@exp/tensor"
import { liveSessions } from "@exp/tensor/compile/engine"
import * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { freeKeptPrograms } from "../../src/peft/kept-programs.ts"
import {
  AllLayers,
  FirstLayers,
  GivenLayers,
  Ist,
  LastLayers,
  LayerChoice,
  type LayerChoiceInput,
  LayerSampler,
  RandomLayers,
  roundSamples,
  trainedCount,
} from "../../src/peft/layer-choice.ts"
import { sigmoid, TooFewLayers } from "../../src/peft/layer-importance.ts"
import {
  AdapterModules,
  DoraModules,
  doraOutput,
  initModules,
  LayerModules,
  type LayerModulesInput,
  LoraModules,
  layerOf,
  lowRankBranch,
} from "../../src/peft/layer-modules.ts"
import { layeredState, layeredStep, trainedNames, trainingMarks } from "../../src/peft/layered-step.ts"
import { gradientBytes, type LayeredTraining, layeredCost, trainLayered } from "../../src/peft/layered-training.ts"
import { MomentMemory } from "../../src/peft/moment-memory.ts"
import { largestScores, teacherWeights, towerModel, towerScores, towerWeights } from "../../src/peft/tower.ts"
import { TowerTeacher } from "../../src/peft/tower-teacher.ts"
import { largestDifference, normalTensor, uploaded, useReferenceBackend } from "../peft-device.ts"
import { last, runTrial } from "../trial-in-memory.ts"

const choiceOf = (input: LayerChoiceInput): LayerChoice => Schema.decodeUnknownSync(LayerChoice)(input)
const modulesOf = (input: LayerModulesInput): LayerModules => Schema.decodeUnknownSync(LayerModules)(input)

const tower = { depth: 4, width: 6, hidden: 9, classes: 3 }
const model = towerModel(tower)
const frozen = towerWeights(tower, 5)
const teacher = teacherWeights(tower, frozen, [0, 1], 2, 5)
const kinds: Readonly<Record<string, LayerModulesInput>> = {
  lora: LoraModules({ rank: 2, scaling: 2 }),
  dora: DoraModules({ rank: 2 }),
  series: AdapterModules({ width: 3 }),
  parallel: AdapterModules({ width: 3, placement: "parallel", scaling: 4 }),
}

function batchOf(name: string, index: number, rows = 8): HostTensors {
  const inputs = fillNormal(key(9, name, index), new Float32Array(rows * tower.width))
  const labels = largestScores(towerScores(tower, teacher, inputs), tower.classes)
  return {
    inputs: { data: inputs, shape: [rows, tower.width], dtype: "float32" },
    labels: { data: labels, shape: [rows], dtype: "int32" },
    weights: { data: new Float32Array(rows).fill(1), shape: [rows], dtype: "float32" },
  }
}

const start = (modules: LayerModules) => initModules(modules, model, frozen, key(1, "modules"))

/** Modules that have grown: their second factors are no longer 0. */
function grown(modules: LayerModules): HostTensors {
  return Object.fromEntries(
    Object.entries(start(modules)).map(([name, tensor]) => [
      name,
      /\.(b|up|up_bias)$/.test(name)
        ? { ...tensor, data: fillNormal(key(2, name), new Float32Array(tensor.data.length)).map((x) => 0.2 * x) }
        : tensor,
    ]),
  )
}

async function train(
  choice: LayerChoiceInput,
  options: Partial<LayeredTraining> & { readonly kind?: string; readonly device?: DeviceName } = {},
) {
  const modules = modulesOf(kinds[options.kind ?? "lora"]!)
  const losses: number[] = []
  const result = await trainLayered({
    device: "js",
    structure: "test tower",
    model,
    modules,
    choice: choiceOf(choice),
    options: { weightDecay: 0.1, dropout: 0 },
    params: start(modules),
    frozen,
    seed: 0,
    steps: 8,
    batch: (step) => batchOf("train", step),
    learningRate: () => 0.02,
    roundBatch: (round) => batchOf("round", round, 12),
    ...options,
    sink: {
      ...options.sink,
      log: (_, values) => {
        if (values["train/loss"] !== undefined) losses.push(values["train/loss"])
      },
    },
  })
  result.release()
  return { ...result, losses }
}

beforeAll(useReferenceBackend)
afterAll(freeKeptPrograms)

describe("choices of layers", () => {
  it("train exactly a quarter, and which", () => {
    const at = (input: LayerChoiceInput, layers: number) => new LayerSampler(choiceOf(input), layers, 0).active(3)
    expect(at(AllLayers(), 4)).toEqual([0, 1, 2, 3])
    expect(at(FirstLayers(), 12)).toEqual([0, 1, 2])
    expect(at(LastLayers(), 12)).toEqual([9, 10, 11])
    expect(at(GivenLayers([5, 1, 5]), 12)).toEqual([1, 5])
    expect(at(RandomLayers(), 12)).toHaveLength(3)
    expect(at(Ist(), 32)).toHaveLength(8)
  })
  it("are refused where they train nothing or name layers that are not there", () => {
    for (const input of [Ist(), RandomLayers(), FirstLayers(), LastLayers()])
      expect(() => trainedCount(choiceOf(input), 3)).toThrow(TooFewLayers)
    expect(() => new LayerSampler(choiceOf(GivenLayers([4])), 4, 0)).toThrow(/layer 4.*4 layers, 0 to 3/)
    expect(() => new LayerSampler(choiceOf(GivenLayers([])), 4, 0)).toThrow(/names no layer/)
  })
  it("draw by the scores of now: layers with a low score are trained more often, suppressed less often", () => {
    const sampler = new LayerSampler(choiceOf(Ist()), 4, 0)
    sampler.scores = Float64Array.from([-3, 0, 0, 3])
    const trained = [0, 0, 0, 0]
    const suppressed = [0, 0, 0, 0]
    for (let step = 0; step < 2000; step++) {
      for (const layer of sampler.active(step)) trained[layer]!++
      for (const set of sampler.candidates(step)) for (const layer of set) suppressed[layer]!++
    }
    const total = [3, 0, 0, -3].reduce((sum, z) => sum + sigmoid(z), 0)
    for (const [layer, z] of [-3, 0, 0, 3].entries())
      expect(Math.abs(trained[layer]! / 2000 - sigmoid(-z) / total)).toBeLessThan(0.03)
    expect(suppressed[3]!).toBeGreaterThan(suppressed[1]!)
    expect(suppressed[1]!).toBeGreaterThan(suppressed[0]!)
  })
  it("random choices are uniform, and seeds differ", () => {
    const counts = new Float64Array(8)
    const sampler = new LayerSampler(choiceOf(RandomLayers()), 8, 4)
    for (let step = 0; step < 8000; step++) for (const layer of sampler.active(step)) counts[layer]!++
    for (const count of counts) expect(Math.abs(count / 8000 - 0.25)).toBeLessThan(0.02)
    const other = new LayerSampler(choiceOf(RandomLayers()), 8, 5)
    expect(Array.from({ length: 20 }, (_, t) => other.active(t))).not.toEqual(
      Array.from({ length: 20 }, (_, t) => sampler.active(t)),
    )
  })
  it("rounds come before steps τ, 2τ, …, never before the first", () => {
    const sampler = new LayerSampler(choiceOf(Ist({ interval: 10 })), 4, 0)
    expect([0, 1, 9, 10, 11, 20].map((step) => sampler.roundBefore(step))).toEqual([
      undefined,
      undefined,
      undefined,
      0,
      undefined,
      1,
    ])
    expect(new LayerSampler(choiceOf(RandomLayers()), 4, 0).roundBefore(10)).toBeUndefined()
  })
  it("rounds see every sample once in a pass, in another order in the next", () => {
    const pass = (from: number) => [0, 1, 2].flatMap((i) => [...roundSamples(12, 4, from + i, 0)])
    expect(pass(0).sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i))
    expect(pass(3)).not.toEqual(pass(0))
    expect(roundSamples(5, 64, 0, 0)).toHaveLength(5)
  })
})

describe("modules", () => {
  const lossOf = (modules: LayerModules, params: HostTensors, suppression?: number[]) => {
    const step = layeredStep(model, modules, { weightDecay: 0, dropout: 0 })
    const batch = uploaded({
      ...batchOf("loss", 0),
      suppression: {
        data: Float32Array.from(suppression ?? [1, 1, 1, 1]),
        shape: [4],
        dtype: "float32",
      },
    })
    const none = { uniform: () => tf.scalar(0), normal: () => tf.scalar(0) }
    return step(uploaded(layeredState(params, frozen)), batch, none).metrics["loss"]!.dataSync()[0]!
  }
  const base = () => {
    const scores = towerScores(tower, frozen, batchOf("loss", 0)["inputs"]!.data as Float32Array)
    const labels = batchOf("loss", 0)["labels"]!.data
    let sum = 0
    for (let row = 0; row < labels.length; row++) {
      const line = [...scores.subarray(row * 3, row * 3 + 3)]
      sum += Math.log(line.reduce((s, x) => s + Math.exp(x), 0)) - line[labels[row]!]!
    }
    return sum / labels.length
  }

  it.each(Object.keys(kinds))("%s changes nothing at the start; the tower is that of the host", (kind) => {
    const modules = modulesOf(kinds[kind]!)
    expect(lossOf(modules, start(modules))).toBeCloseTo(base(), 5)
  })
  it.each(["lora", "series", "parallel"])("%s: ρ = 0 in all layers is the base model's loss exactly", (kind) => {
    const modules = modulesOf(kinds[kind]!)
    const off = lossOf(modules, grown(modules), [0, 0, 0, 0])
    expect(off).toBe(lossOf(modules, start(modules)))
    expect(lossOf(modules, grown(modules))).not.toBe(off)
  })
  it("dora: ρ = 0 is the base model up to rounding while the magnitudes are the norms", () => {
    const modules = modulesOf(kinds["dora"]!)
    expect(lossOf(modules, grown(modules), [0, 0, 0, 0])).toBeCloseTo(base(), 5)
    expect(lossOf(modules, grown(modules))).not.toBeCloseTo(base(), 5)
  })
  it.each(Object.keys(kinds))("%s: suppressing a layer touches this layer alone", (kind) => {
    const modules = modulesOf(kinds[kind]!)
    const params = grown(modules)
    // Where the other layers' modules are as at the start, suppressing those changes nothing.
    const one = Object.fromEntries(
      Object.entries(params).map(([name, t]) => [name, layerOf(name) === 2 ? t : start(modules)[name]!]),
    )
    expect(lossOf(modules, one, [0.25, 0.25, 1, 0.25])).toBeCloseTo(lossOf(modules, one), 5)
    expect(lossOf(modules, one, [1, 1, 0.25, 1])).not.toBeCloseTo(lossOf(modules, one), 5)
  })

  const difference = (f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor) => {
    const values = x.dataSync()
    return Float32Array.from(values, (value, i) => {
      const at = (v: number) => {
        const moved = Float32Array.from(values)
        moved[i] = v
        return f(tf.tensor(moved, x.shape)).dataSync()[0]!
      }
      return (at(value + 1e-2) - at(value - 1e-2)) / 2e-2
    })
  }
  it("low-rank branches have the gradients of finite differences, the multiplier included", () => {
    const [x, a, b] = [normalTensor("x", [5, 4]), normalTensor("a", [4, 2]), normalTensor("b", [3, 2])]
    const w = normalTensor("w", [5, 3])
    const f = (p: Record<string, tf.Tensor>) =>
      tf.sum(tf.mul(lowRankBranch(p["x"]!, p["a"]!, p["b"]!, 2, tf.tensor1d([0.25])), w))
    const params = { x, a, b }
    const { gradients } = valueAndGradients((p) => f({ ...p }), params)
    for (const name of ["x", "a", "b"] as const) {
      const expected = difference((t) => f({ ...params, [name]: t }), params[name])
      expect(largestDifference(gradients[name]!.dataSync(), expected)).toBeLessThan(2e-3)
    }
  })
  it("DoRA has the gradients of finite differences with the norm held constant", () => {
    const [x, a, b] = [normalTensor("x", [5, 4]), normalTensor("a", [4, 2]), normalTensor("b", [3, 2], 0.3)]
    const [weight, magnitude] = [normalTensor("W", [4, 3]), tf.tensor1d([1.5, 0.7, 1.1])]
    const bias = tf.tensor1d([0.2, -0.1, 0.4])
    const w = normalTensor("w", [5, 3])
    const full = (p: Record<string, tf.Tensor>) => {
      const { x, a, b, magnitude } = p as Record<"x" | "a" | "b" | "magnitude", tf.Tensor>
      const y = tf.add(tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D), bias)
      return tf.sum(tf.mul(doraOutput(x, y, { a, b, magnitude, weight, bias }, 2), w))
    }
    const norm = tf.norm(tf.add(weight, tf.mul(2, tf.matMul(a as tf.Tensor2D, b as tf.Tensor2D, false, true))), 2, 0)
    const held = (p: Record<string, tf.Tensor>) => {
      const change = tf.mul(2, tf.matMul(p["a"] as tf.Tensor2D, p["b"] as tf.Tensor2D, false, true))
      const v = tf.mul(tf.add(weight, change), tf.div(p["magnitude"]!, norm))
      return tf.sum(tf.mul(tf.add(tf.matMul(p["x"] as tf.Tensor2D, v as tf.Tensor2D), bias), w))
    }
    const params = { x, a, b, magnitude }
    const { value, gradients } = valueAndGradients((p) => full({ ...p }), params)
    expect(value.dataSync()[0]!).toBeCloseTo(held(params).dataSync()[0]!, 4)
    for (const name of ["x", "a", "b", "magnitude"] as const) {
      const expected = difference((t) => held({ ...params, [name]: t }), params[name])
      expect(largestDifference(gradients[name]!.dataSync(), expected)).toBeLessThan(5e-3)
    }
  })
})

describe("training a few layers at a step", () => {
  it.each(
    [Ist({ interval: 2 }), RandomLayers(), FirstLayers(), LastLayers(), GivenLayers([2]), AllLayers()].flatMap((c) =>
      Object.keys(kinds).map((kind) => [c._tag, kind, c] as const),
    ),
  )("%s with %s: what is not drawn stays as it is, bit for bit, moments and counters too", async (_, kind, choice) => {
    const modules = modulesOf(kinds[kind]!)
    const sampler = new LayerSampler(choiceOf(choice), 4, 0)
    const device = await openDevice("js")
    const program = device.compile(layeredStep(model, modules, { weightDecay: 0.1, dropout: 0 }))
    let before = layeredState(grown(modules), frozen)
    program.load(before)
    for (let step = 0; step < 4; step++) {
      const active = sampler.active(step)
      expect(active).toHaveLength(trainedCount(sampler.choice, 4))
      const rate = { data: new Float32Array([0.05]), shape: [], dtype: "float32" as const }
      await program.run({ ...batchOf("train", step), ...trainingMarks(active), learning_rate: rate }, { seed: 0, step })
      const after = await program.state()
      for (const [name, tensor] of Object.entries(before)) {
        const owner = name.replace(/^(params|optimiser\.(first|second|count))\./, "")
        const layer = layerOf(owner)
        const trained = layer !== undefined && active.includes(layer)
        if (trained) expect(after[name]!.data, name).not.toEqual(tensor.data)
        else expect(after[name]!.data, name).toEqual(tensor.data)
      }
      before = after
    }
    program.dispose()
  })

  it("with all layers drawn and no rounds is ordinary tuning, bit for bit", async () => {
    const dense = await train(AllLayers())
    const drawn = await train(RandomLayers({ trainedShare: 1 }))
    expect(drawn.losses).toEqual(dense.losses)
    expect(drawn.state).toEqual(dense.state)
  })

  it("ρ = 1 leaves the scores at exactly 0, as does a start at which the modules change nothing", async () => {
    const one = await train(Ist({ interval: 2, suppression: 1 }))
    expect([...one.sampler.scores]).toEqual([0, 0, 0, 0])
    const fresh = await train(Ist({ interval: 2 }), { learningRate: () => 0, kind: "lora" })
    expect([...fresh.sampler.scores]).toEqual([0, 0, 0, 0])
    const learnt = await train(Ist({ interval: 2 }))
    expect([...learnt.sampler.scores].some((z) => z !== 0)).toBe(true)
  })

  it("learns the scores of the formulas from the losses under suppression", async () => {
    const choice = choiceOf(Ist({ interval: 2 }))
    const two = await train(Ist({ interval: 2 }), { steps: 2 })
    const three = await train(Ist({ interval: 2 }), { steps: 3 })
    // By hand: the losses of round 0 on the state after two steps.
    const sampler = new LayerSampler(choice, 4, 0)
    const sets = sampler.candidates(0)
    const step = layeredStep(model, modulesOf(kinds["lora"]!), { weightDecay: 0.1, dropout: 0 })
    const none = { uniform: () => tf.scalar(0), normal: () => tf.scalar(0) }
    const losses = sets.map((set) => {
      const suppression = { data: sampler.multipliers(set), shape: [4], dtype: "float32" as const }
      const batch = uploaded({ ...batchOf("round", 0, 12), suppression })
      return step(uploaded(two.state), batch, none).metrics["loss"]!.dataSync()[0]!
    })
    sampler.learn(sets, losses)
    expect([...three.sampler.scores]).toEqual([...sampler.scores])
  })

  it("gives the same numbers for a seed, others for another", async () => {
    const [a, b] = [await train(Ist({ interval: 2 })), await train(Ist({ interval: 2 }))]
    expect(b.losses).toEqual(a.losses)
    expect(b.state).toEqual(a.state)
    const c = await train(Ist({ interval: 2 }), { seed: 1 })
    expect([...c.sampler.counts]).not.toEqual([...a.sampler.counts])
  })

  it.each(Object.keys(kinds))(
    "%s: the quickest device here gives the losses and scores of the reference",
    async (kind) => {
      const reference = await train(Ist({ interval: 2 }), { kind })
      const native = await train(Ist({ interval: 2 }), { kind, device: "auto" })
      expect(largestDifference(native.losses, reference.losses)).toBeLessThan(1e-4)
      expect(largestDifference(native.sampler.scores, reference.sampler.scores)).toBeLessThan(1e-2)
      // Costs come from the same graph, whoever runs it.
      for (const name of ["flops/step", "flops/total", "mem/saved_activations", "mem/peak", "mem/optimizer"])
        expect(native.ledger[name]).toBe(reference.ledger[name])
    },
  )

  it.each([3, 4, 5])("resumes after %i steps bit for bit: losses, scores, counts, ledger, state", async (stopAt) => {
    const whole = await train(Ist({ interval: 2 }))
    let saved: { step: number; state: Uint8Array } | undefined
    const stop = new AbortController()
    const sink = {
      signal: stop.signal,
      progress: (done: number) => {
        if (done === stopAt) stop.abort()
      },
      checkpoint: {
        save: async (step: number, state: Uint8Array) => {
          saved = { step, state }
        },
        restore: async () => undefined,
      },
    }
    await expect(train(Ist({ interval: 2 }), { sink })).rejects.toMatchObject({ _tag: "Interrupted" })
    freeKeptPrograms()
    const rest = await train(Ist({ interval: 2 }), {
      sink: { checkpoint: { save: async () => {}, restore: async () => saved } },
    })
    expect(saved!.step).toBe(stopAt)
    expect(rest.losses).toEqual(whole.losses.slice(stopAt))
    expect(rest.state).toEqual(whole.state)
    expect([...rest.sampler.scores]).toEqual([...whole.sampler.scores])
    const lasting = (ledger: Record<string, number>) => pick(ledger, (name) => !name.startsWith("time/"))
    expect(lasting(rest.ledger)).toEqual(lasting(whole.ledger))
  })

  it("a loss that is not finite ends the training and is reported", async () => {
    const result = await train(Ist({ interval: 2 }), { learningRate: (step) => (step === 3 ? Number.NaN : 0.01) })
    expect(result.divergedAt).toBe(4)
    expect(result.ledger["train/diverged"]).toBe(1)
  })
})

describe("what frozen layers cost", () => {
  const modules = modulesOf(kinds["lora"]!)
  const params = start(modules)
  const step = layeredStep(model, modules, { weightDecay: 0, dropout: 0 })
  const cost = (layers: readonly number[] | "suppression") =>
    layeredCost(step, layeredState(params, frozen), batchOf("cost", 0, 256), layers, 4)

  it("no backward work below the lowest trained layer", () => {
    const [top, third, second, bottom, all] = [[3], [2], [1], [0], [0, 1, 2, 3]].map((layers) => cost(layers).flops)
    const forward = cost("suppression").flops
    // Backward of the top layer alone: less than a third of the forward pass of four layers.
    expect(top! - forward).toBeLessThan(0.45 * forward)
    // Each layer that the gradient must cross costs the same.
    expect(second! - third!).toBe(third! - top!)
    expect(bottom!).toBeGreaterThan(second!)
    expect(all!).toBeGreaterThan(bottom!)
  })

  it("nothing saved below the lowest trained layer, and less for a frozen layer above it than for a trained one", () => {
    const saved = ([[3], [2], [1], [0], [0, 1, 2, 3]] as const).map((layers) => cost(layers).saved)
    expect(saved[0]!).toBeLessThan(saved[1]!)
    expect(saved[1]!).toBeLessThan(saved[2]!)
    expect(saved[2]!).toBeLessThan(saved[3]!)
    expect(saved[3]!).toBeLessThan(0.8 * saved[4]!)
    // 256 rows: the input of A (6) and B (9), their rank-2 intermediates (2 + 2) are what training a layer adds.
    const added = 4 * 256 * (6 + 9 + 2 + 2)
    expect((saved[4]! - saved[3]!) / 3).toBeLessThanOrEqual(added)
    expect((saved[4]! - saved[3]!) / 3).toBeGreaterThan(0.3 * added)
  })

  it("a step replaces the tensors of its layers alone: gradients and updates of a quarter", () => {
    for (const layers of [[2], [0, 3], [0, 1, 2, 3]])
      expect(gradientBytes(params, layers)).toBe((gradientBytes(params, [0, 1, 2, 3]) * layers.length) / 4)
    const state = uploaded(layeredState(params, frozen))
    const rate = { data: new Float32Array([0.1]), shape: [], dtype: "float32" as const }
    const none = { uniform: () => tf.scalar(0), normal: () => tf.scalar(0) }
    const after = step(
      state,
      uploaded({ ...batchOf("cost", 0), ...trainingMarks([2]), learning_rate: rate }),
      none,
    ).state
    const replaced = Object.keys(state).filter((name) => after[name] !== state[name])
    expect(replaced.filter((name) => name.startsWith("params.")).map((name) => name.slice(7))).toEqual(
      trainedNames(params, [2]),
    )
    expect(replaced.every((name) => name.includes("modules.2."))).toBe(true)
  })

  it("moments exist from a parameter's first gradient on, and change no number", async () => {
    const last = await train(LastLayers())
    const dense = await train(AllLayers())
    expect(last.ledger["mem/optimizer"]! * 4).toBe(dense.ledger["mem/optimizer"])
    expect(last.ledger["mem/grads"]! * 4).toBe(dense.ledger["mem/grads"])
    const two = await train(RandomLayers(), { steps: 2 })
    const sets = new Set(two.sampler.counts).has(2) ? 1 : 2
    expect(two.ledger["mem/optimizer"]).toBe((dense.ledger["mem/optimizer"]! * sets) / 4)
    // The same steps with all moments held from the start.
    const modules = modulesOf(kinds["lora"]!)
    const program = (await openDevice("js")).compile(layeredStep(model, modules, { weightDecay: 0.1, dropout: 0 }))
    program.load(layeredState(start(modules), frozen))
    const sampler = new LayerSampler(choiceOf(RandomLayers()), 4, 0)
    for (let step = 0; step < 8; step++) {
      const rate = { data: new Float32Array([0.02]), shape: [], dtype: "float32" as const }
      const marks = trainingMarks(sampler.active(step))
      await program.run({ ...batchOf("train", step), ...marks, learning_rate: rate }, { seed: 0, step })
    }
    expect((await train(RandomLayers())).state).toEqual(await program.state())
    program.dispose()
  })

  it("evicted moments are gone and start again from 0", async () => {
    const kept = await train(RandomLayers())
    const evicted = await train(RandomLayers(), { evictMoments: true })
    const quarter = kept.ledger["mem/optimizer"]! / [...kept.sampler.counts].filter((count) => count > 0).length
    expect(evicted.ledger["mem/optimizer"]).toBe(quarter)
    expect(evicted.ledger["mem/optimizer_mean"]).toBe(quarter)
    expect(evicted.state).not.toEqual(kept.state)
    const held = new Set(
      Object.entries(underPrefix("optimiser.count", evicted.state)).flatMap(([name, { data }]) =>
        data[0] === 0 ? [] : [layerOf(name)],
      ),
    )
    expect(held.size).toBe(1)
  })

  it("really holds no tensors for moments that are not there", async () => {
    const inner = (await openDevice("js")).compile(step)
    const memory = new MomentMemory(inner)
    memory.load(layeredState(params, frozen))
    expect(Object.keys(await inner.state()).filter((name) => name.startsWith("optimiser."))).toEqual([])
    expect(memory.momentBytes).toBe(0)
    const rate = { data: new Float32Array([0.1]), shape: [], dtype: "float32" as const }
    await memory.run({ ...batchOf("cost", 0), ...trainingMarks([1]), learning_rate: rate }, { seed: 0, step: 0 })
    const held = Object.entries(await inner.state()).filter(([name]) => name.startsWith("optimiser."))
    expect(held.every(([name]) => name.includes("modules.1."))).toBe(true)
    expect(held.reduce((sum, [, { data }]) => sum + 4 * data.length, 0)).toBe(memory.momentBytes)
    expect(Object.keys(await memory.state()).sort()).toEqual(Object.keys(layeredState(params, frozen)).sort())
    memory.dispose()
  })

  it("no tensor and no compiled graph is left behind", async () => {
    freeKeptPrograms()
    const tensors = tf.memory().numTensors
    const sessions = liveSessions()
    for (const device of ["js", "auto"] as const) {
      const result = await train(Ist({ interval: 2 }), { device })
      await result.evaluate([batchOf("test", 0)])
    }
    freeKeptPrograms()
    expect(tf.memory().numTensors).toBe(tensors)
    expect(liveSessions()).toBe(sessions)
  })
})

describe("the tower-teacher task", () => {
  const small = {
    depth: 4,
    width: 8,
    hidden: 12,
    teacherLayers: [0],
    trainRows: 96,
    testRows: 100,
    steps: 60,
    warmup: 5,
    batchSize: 16,
    learningRate: 1e-2,
    modules: LoraModules({ rank: 2, scaling: 2 }),
  } as const

  it("learns, reports where, and keeps to a quarter of the gradients", async () => {
    const run = (layers: LayerChoiceInput) => runTrial(TowerTeacher, { ...small, layers }, { device: "auto" })
    const ist = await run(Ist({ interval: 2, importanceBatch: 32 }))
    const dense = await run(AllLayers())
    const losses = ist.logged.get("train/loss")!.map(([, loss]) => loss)
    const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length
    expect(mean(losses.slice(-10))).toBeLessThan(0.9 * mean(losses.slice(0, 10)))
    const frequencies = [0, 1, 2, 3].map((layer) => last(ist, `ist/freq/${layer}`))
    expect(frequencies.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10)
    expect(last(ist, "ist/true_share")).toBeCloseTo(frequencies[0]!, 10)
    expect(last(ist, "mem/grads")).toBe(last(dense, "mem/grads") / 4)
    expect(last(ist, "flops/round")).toBeGreaterThan(0)
    expect(last(ist, "flops/step")).toBeLessThan(last(dense, "flops/step"))
    expect(last(ist, "mem/saved_activations")).toBeLessThan(last(dense, "mem/saved_activations"))
    expect(last(ist, "mem/saved_activations_max")).toBeLessThanOrEqual(last(dense, "mem/saved_activations"))
    expect(ist.logged.get("ist/score/0")).toHaveLength(29)
    freeKeptPrograms()
  })

  it("validation measures other inputs, and a teacher of layers that are not there is refused", async () => {
    const run = (more: object) =>
      runTrial(TowerTeacher, { ...small, steps: 2, layers: LastLayers(), ...more }, { device: "auto" })
    const [test, validation] = [await run({}), await run({ evaluate: "validation" })]
    expect(validation.logged.has("test/loss")).toBe(false)
    expect(last(validation, "val/loss")).not.toBe(last(test, "test/loss"))
    await expect(run({ teacherLayers: [7] })).rejects.toThrow(/layer 7.*4 layers/)
    await expect(run({ depth: 3, layers: Ist() })).rejects.toThrow(/3 layers with trainedShare 0.25 train no layer/)
    freeKeptPrograms()
  })
})
