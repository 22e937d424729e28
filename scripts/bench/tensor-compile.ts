/**
 * From a step to a session that can run it, for the training step of a 12-layer vision transformer: cold (the first
 * trace of the process, before the code is compiled) and warm, by part. The target is 1 s.
 */

import { costOf } from "@exp/tensor/compile/cost"
import { openSession } from "@exp/tensor/compile/engine"
import { manySteps, oneStep } from "@exp/tensor/compile/model"
import { traceStep } from "@exp/tensor/compile/trace-step"
import { median } from "./_torch_pair.ts"
import { vitCase } from "./_vit-step.ts"

const { step, start, batch } = vitCase(192, 16, 12)

function once(stepsPerCall: number) {
  const times: Record<string, number> = {}
  const used = process.cpuUsage()
  const timed = <A>(part: string, f: () => A): A => {
    const from = performance.now()
    const out = f()
    times[part] = performance.now() - from
    return out
  }
  const traced = timed("trace", () => traceStep(step, start, batch))
  const model = timed("encode", () => (stepsPerCall > 1 ? manySteps(traced, stepsPerCall) : oneStep(traced)))
  const session = timed("session", () => openSession(model.bytes))
  session.release()
  const { user, system } = process.cpuUsage(used)
  const total = Object.values(times).reduce((a, b) => a + b, 0)
  return { traced, model, times, total, cpu: (user + system) / 1000 }
}

for (const stepsPerCall of [1, 10]) {
  const cold = once(stepsPerCall)
  const warm = Array.from({ length: 7 }, () => once(stepsPerCall))
  const part = (name: string) => median(warm.map(({ times }) => times[name]!))
  const { nodes, operators } = costOf(cold.traced)
  console.log(
    JSON.stringify({
      name: `tensor-compile 12-layer ViT, ${stepsPerCall === 1 ? "one step" : `${stepsPerCall} steps a call`}`,
      unit: "ms",
      ours: median(warm.map(({ total }) => total)),
      // Cold only in the first row: a process compiles its first graph once.
      ...(stepsPerCall === 1 ? { cold: cold.total, coldCpu: cold.cpu, coldParts: cold.times } : {}),
      oursCpu: median(warm.map(({ cpu }) => cpu)),
      target: 1000,
      trace: part("trace"),
      encode: part("encode"),
      session: part("session"),
      nodes,
      modelKiB: cold.model.bytes.length / 1024,
      operators: Object.fromEntries(Object.entries(operators).map(([op, { count }]) => [op, count])),
    }),
  )
}
