/**
 * Memory of tuning vision transformers: ViT-B/16, ViT-L/16 and ViT-H/14 from shapes alone beside the figures that SNELL's
 * paper prints, and the tiny ViT of the test bed, where what the graph says is compared with what a step really holds.
 *
 *   npm run memory                     prints the table and writes experiments/results/vit-memory.txt
 *   npm run memory -- --batch 32       at another batch size; the paper's is 8
 *
 * Nothing of the published sizes is allocated or run. The tiny ViT is run: eagerly, counting live tensor bytes, and
 * compiled in a process of its own, whose resident memory is watched.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { measuredStep } from "@exp/methods/peft/memory"
import { paperMemory, tunedCost } from "@exp/methods/peft/published-memory"
import { tunedStep } from "@exp/methods/peft/tuned-step"
import { FullFineTune, GradientMask, Lora, Snell, Tuner } from "@exp/methods/peft/tuners"
import { visionModel } from "@exp/methods/peft/vision-model"
import { visionBatchExample, visionStateExample } from "@exp/methods/peft/vision-step"
import { namedVit, tinyVit } from "@exp/nn"
import { openDevice, type StepCost } from "@exp/tensor"
import * as Schema from "effect/Schema"

const { values } = parseArgs({
  options: {
    batch: { type: "string", default: "8" },
    out: { type: "string", default: join(import.meta.dirname, "../experiments/results/vit-memory.txt") },
    // The process that runs one tuner of the tiny ViT, and says how much its resident memory grew.
    resident: { type: "string" },
  },
})
const batch = Number(values.batch)
const classes = 100
const tinyBatches = [32, 256]

const tuner = (input: typeof Tuner.Encoded): Tuner => Schema.decodeSync(Tuner)(input)
const tuners: Readonly<Record<string, { readonly tuner: Tuner; readonly paper?: keyof typeof paperMemory }>> = {
  full: { tuner: tuner(FullFineTune()) },
  "LoRA-8": { tuner: tuner(Lora({ rank: 8 })), paper: "LoRA-8" },
  masked: { tuner: tuner(GradientMask({ sparsity: 0.78 })), paper: "masked (GPS)" },
  "SNELL-8": { tuner: tuner(Snell({ rank: 8, sparsity: 0.5 })), paper: "SNELL-8" },
  "SNELL-8, ΔW kept": { tuner: tuner(Snell({ rank: 8, sparsity: 0.5, recompute: false })) },
}

const MB = (bytes: number) => (bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)
const total = (cost: StepCost) => cost.stateBytes + cost.inputBytes + cost.peakInPlaceBytes

if (values.resident !== undefined) {
  const [name, size] = values.resident.split("/") as [string, string]
  process.stdout.write(String(await residentGrowth(tuners[name]!.tuner, Number(size))))
  process.exit(0)
}

const lines: string[] = []
const say = (line = "") => {
  lines.push(line)
  process.stdout.write(`${line}\n`)
}
const table = (head: readonly string[], rows: readonly (readonly string[])[]) => {
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]!.length)))
  const line = (row: readonly string[]) =>
    row.map((text, c) => (c === 0 ? text.padEnd(widths[c]!) : text.padStart(widths[c]!))).join("  ")
  say(line(head))
  say(widths.map((w) => "─".repeat(w)).join("  "))
  for (const row of rows) say(line(row))
}

say("npm run memory")
say(
  `One training step with AdamW in float32, batch ${batch}, ${classes} classes; MB = 10^6 bytes; read off the graph of the step.`,
)
say(
  "weights + moments: what lives between steps.  intermediates: the largest sum of activations, gradients and transient",
)
say("matrices alive at once; new weights overwrite the old.  total: both and the batch.  The paper's figures are the")
say("allocator's peak on a GPU at batch 8 (arXiv 2411.01800, Table A12), framework included; it gives")
say("none for full tuning. Only ratios compare.")
for (const [size, title] of [
  ["base", "ViT-B/16"],
  ["large", "ViT-L/16"],
  ["huge", "ViT-H/14"],
] as const) {
  const config = namedVit(size, classes)
  const began = performance.now()
  const costs = Object.fromEntries(
    Object.entries(tuners).map(([name, { tuner }]) => [name, tunedCost(tuner, config, batch)] as const),
  )
  const seconds = (performance.now() - began) / 1000
  const lora = total(costs["LoRA-8"]!)
  say()
  table(
    [title, "weights + moments", "intermediates", "total", "/ LoRA", "paper", "/ LoRA", "GFLOP"],
    Object.entries(tuners).map(([name, { paper }]) => {
      const cost = costs[name]!
      const printed = paper && paperMemory[paper][size]
      return [
        name,
        MB(cost.stateBytes),
        MB(cost.peakInPlaceBytes),
        MB(total(cost)),
        (total(cost) / lora).toFixed(2),
        printed === undefined ? "–" : String(printed),
        printed === undefined ? "–" : (printed / paperMemory["LoRA-8"][size]).toFixed(2),
        (cost.flops / 1e9).toFixed(0),
      ]
    }),
  )
  const [snell, masked] = [total(costs["SNELL-8"]!), total(costs["masked"]!)]
  const paper = 1 - paperMemory["SNELL-8"][size] / paperMemory["masked (GPS)"][size]
  say(
    `SNELL-8 needs ${((1 - snell / masked) * 100).toFixed(0)} % less than masked tuning (paper: ${(paper * 100).toFixed(0)} %).`,
  )
  process.stderr.write(`traced ${Object.keys(tuners).length} steps in ${seconds.toFixed(1)} s\n`)
}

say()
say(
  "Tiny ViT (28×28, width 64, depth 4): graph against measurement, MB. graph: state, batch and the peak of results with",
)
say(
  "new state beside the old, as the compiled step works. eager: live tensor bytes of an eager TensorFlow.js step, which",
)
say(
  "frees what a forward pass made only at its end. resident: growth of a process from its loaded state to after three",
)
say("compiled steps; the allocator's spare room and the runtime itself are in it, copies of outputs too.")
for (const size of tinyBatches) {
  say()
  const config = tinyVit(10)
  const device = await openDevice("wasm").catch(() => openDevice("js"))
  const rows: string[][] = []
  for (const [name, { tuner }] of Object.entries(tuners)) {
    const cost = tunedCost(tuner, config, size)
    const state = visionStateExample(tuner, config, 0)
    const eager = await measuredStep(
      device.name === "js" ? "cpu" : device.name,
      visionModel(config),
      tuner,
      state,
      visionBatchExample(tuner, config, size),
    )
    const graph = cost.stateBytes + cost.inputBytes + cost.peakBytes
    const child = spawnSync(
      process.execPath,
      [...process.execArgv, import.meta.filename, "--resident", `${name}/${size}`],
      {
        encoding: "utf8",
      },
    )
    if (child.status !== 0) throw new Error(child.stderr)
    const resident = Number(child.stdout)
    rows.push([
      name,
      MB(graph),
      MB(eager.peak),
      (eager.peak / graph).toFixed(2),
      MB(resident),
      (resident / graph).toFixed(2),
    ])
  }
  table([`batch ${size}`, "graph", "eager", "/ graph", "resident", "/ graph"], rows)
  device.dispose()
}

mkdirSync(dirname(values.out), { recursive: true })
writeFileSync(values.out, `${lines.join("\n")}\n`)

/** Bytes by which the peak of resident memory grows over three compiled steps of the tiny ViT. */
async function residentGrowth(tuner: Tuner, size: number): Promise<number> {
  const config = tinyVit(10)
  const state = visionStateExample(tuner, config, 0)
  const input = visionBatchExample(tuner, config, size)
  const device = await openDevice("cpu")
  // The runtime and the code of everything come first, with a step of one image.
  const warm = device.compile(tunedStep(visionModel(config), tuner, { decay: () => 0 }))
  warm.load(state)
  await warm.run(visionBatchExample(tuner, config, 1), { seed: 0, step: 0 })
  warm.dispose()
  const before = process.resourceUsage().maxRSS
  const program = device.compile(tunedStep(visionModel(config), tuner, { decay: () => 0 }))
  program.load(state)
  for (let step = 0; step < 3; step++) await program.run(input, { seed: 0, step })
  return (process.resourceUsage().maxRSS - before) * 1024
}
