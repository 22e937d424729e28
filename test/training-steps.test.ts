import { loadExperiment } from "@exp/engine"
import { plan } from "@exp/spec"
import { compiledGraph, openDevice, type Step } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { root } from "./exp.ts"

/** One trial of every arm of an experiment: its arm, its config as the task gets it, its seed. */
async function trialsOf(file: string, profile: string, set: Readonly<Record<string, string>> = {}) {
  const { experiment } = await loadExperiment(`${root}/experiments/${file}`)
  const made = plan(experiment, { profile, set, seeds: [0] })
  const arms = new Set<string>()
  const trials = made.compared().filter(({ arm }) => !arms.has(arm) && arms.add(arm))
  return trials.map(({ arm, config, seed }) => ({
    arm,
    seed,
    task: experiment.task,
    config: Schema.decodeUnknownSync(experiment.task.config)(config),
  }))
}

describe("the training step that a task shows", () => {
  it.each([
    ["snella.vit.ts", "quick", { batchSize: "8" }, 4],
    ["snella.teacher.ts", "quick", {}, 2],
    ["snell.kernelfit.ts", "quick", {}, 2],
    ["kinetics.reasoning.ts", "quick", { "model.batchSize": "8" }, 2],
    ["sparsejepa.fashion.ts", "quick", { batchSize: "8" }, 4],
    ["ist.tower.ts", "quick", {}, 5],
    ["ist.vit.ts", "quick", { batchSize: "8" }, 4],
    ["ist.lm.ts", "quick", { batchSize: "2" }, 3],
  ] as const)("of %s compiles and runs as it is", async (file, profile, set, least) => {
    const trials = await trialsOf(file, profile, set)
    expect(trials.length).toBeGreaterThanOrEqual(least)
    const device = await openDevice("cpu")
    for (const { arm, task, config, seed } of trials) {
      const example = await task.trainingStep!(config, seed)
      if (arm === "random" || arm === "pixels") {
        expect(example).toBeUndefined()
        continue
      }
      const step = example!.step as unknown as Step
      const { cost, hash } = compiledGraph(step, example!)
      expect(cost.updatedBytes).toBeGreaterThan(0)
      const program = device.compile(step)
      program.load(example!.state)
      const metrics = await program.run(example!.batch, { seed: 0, step: 0 })
      expect(program.graph!()!.hash, arm).toBe(hash)
      const loss = Object.values(metrics)[0]!.data[0]!
      expect(loss, arm).toBeGreaterThan(0)
      expect(Number.isFinite(loss), arm).toBe(true)
      program.dispose()
    }
    device.dispose()
  })

  it("is that of the layers that are trained first, and of nothing else", async () => {
    const costs: Record<string, number> = {}
    for (const { arm, task, config, seed } of await trialsOf("ist.tower.ts", "quick")) {
      const example = (await task.trainingStep!(config, seed))!
      const { cost } = compiledGraph(example.step as unknown as Step, example)
      costs[arm] = cost.updatedBytes
      if (arm === "last") {
        expect(example.name).toMatch(/8-layer tower .* LoraModules, training layers 6, 7 of 0 to 7/)
        expect(Object.keys(example.batch).filter((name) => name.startsWith("train."))).toEqual(["train.6", "train.7"])
      }
    }
    // Two of eight layers at a step, so a quarter of what all of them would have replaced.
    for (const arm of ["ist", "rst", "first", "last"]) expect(costs[arm], arm).toBe(costs["dense"]! / 4)
  })

  it("has the shapes of the trial", async () => {
    const [trial] = await trialsOf("snella.vit.ts", "quick", { batchSize: "17", target: '"angle-1k"' })
    const example = (await trial!.task.trainingStep!(trial!.config, 0))!
    expect(example.batch["images"]!.shape).toEqual([17, 28, 28, 1])
    expect(example.state["params.head.bias"]!.shape).toEqual([8])
  })
})
