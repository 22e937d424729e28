/**
 * What frozen layers cost: training steps of a decoder with LoRA in its eight blocks, two of them trained, beside the step
 * that trains all (the peer). Each set of layers runs in a process of its own, so that its peak of resident memory can be
 * read: what the process grew by from before the first step. `traced` is the same ratio read off the graphs.
 */
import { spawnSync } from "node:child_process"
import { byteModel, layeredLanguageModel, stepWindows, windowBatch } from "@exp/methods/peft/byte-language"
import { initModules, type LayerModules } from "@exp/methods/peft/layer-modules"
import { layeredState, layeredStep, trainingMarks } from "@exp/methods/peft/layered-step"
import { hostScalar, initLanguageModel } from "@exp/nn"
import { key } from "@exp/random"
import { openDevice } from "@exp/tensor"

const config = byteModel({ width: 128, depth: 8, mlpWidth: 512, context: 64 })
const size = 16
const steps = 7
const sets = { all: [0, 1, 2, 3, 4, 5, 6, 7], last: [6, 7], spread: [2, 5], first: [0, 1] } as const

interface Measured {
  readonly stepMs: number
  /** Growth of the resident memory from before the first step to its peak, bytes. */
  readonly resident: number
  readonly traced: number
  readonly saved: number
  readonly flops: number
}

async function measure(layers: readonly number[]): Promise<Measured> {
  const modules: LayerModules = { _tag: "LoraModules", rank: 8, scaling: 2 }
  const model = layeredLanguageModel(config)
  const weights = initLanguageModel(config, key(0))
  const text = Uint8Array.from({ length: size * config.context * 4 + 1 }, (_, i) => 97 + ((i * i) % 26))
  const batch = {
    ...windowBatch(text, config.context, stepWindows(4 * size, size, 0, 0), size),
    ...trainingMarks(layers),
    learning_rate: hostScalar(1e-3),
  }
  const program = (await openDevice("cpu")).compile(layeredStep(model, modules, { weightDecay: 0, dropout: 0 }))
  program.load(layeredState(initModules(modules, model, weights, key(1)), weights))
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  const times: number[] = []
  for (let step = 0; step < steps; step++) {
    const from = performance.now()
    await program.run(batch, { seed: 0, step })
    times.push(performance.now() - from)
  }
  const resident = process.resourceUsage().maxRSS * 1024 - before
  const { cost } = program.graph!()!
  program.dispose()
  const sorted = times.slice(1).sort((a, b) => a - b)
  return {
    stepMs: sorted[sorted.length >> 1]!,
    resident,
    traced: cost.peakBytes,
    saved: cost.aliveAt["loss"]!,
    flops: cost.flops,
  }
}

const asked = process.argv[2] as keyof typeof sets | undefined
if (asked !== undefined) process.stdout.write(JSON.stringify(await measure(sets[asked])))
else {
  const rounds = 3
  const results: Record<string, Measured[]> = Object.fromEntries(Object.keys(sets).map((name) => [name, []]))
  for (let round = 0; round < rounds; round++)
    for (const name of Object.keys(sets)) {
      const child = spawnSync(process.execPath, ["--expose-gc", import.meta.filename, name], { encoding: "utf8" })
      if (child.status !== 0) throw new Error(`${name}: ${child.stderr}`)
      results[name]!.push(JSON.parse(child.stdout) as Measured)
    }
  const middle = (name: string, what: keyof Measured) =>
    results[name]!.map((r) => r[what]).sort((a, b) => a - b)[rounds >> 1]!
  const rows = [
    ["step", "stepMs", "ms"],
    ["resident memory", "resident", "B"],
    ["traced peak", "traced", "B"],
    ["saved activations", "saved", "B"],
    ["flops", "flops", "FLOP"],
  ] as const
  for (const name of Object.keys(sets).filter((set) => set !== "all"))
    for (const [label, what, unit] of rows) {
      const [ours, peer] = [middle(name, what), middle("all", what)]
      const row = { name: `ist-layers ${name} two of eight: ${label}`, unit, ours, peer, peerName: "all layers" }
      process.stdout.write(`${JSON.stringify({ ...row, ratio: ours / peer, rounds })}\n`)
    }
}
