/** Runs training steps of the small vision transformer for as many milliseconds as each message says; answers steps/s. */
import { openDevice } from "@exp/tensor"
import { vitCase } from "./_vit-step.ts"

const stepsPerCall = 10
const device = await openDevice("cpu")
const { step, start, batch } = vitCase(64, 64)
const program = device.compile(step)
program.load(start)
const batches = new Array<typeof batch>(stepsPerCall).fill(batch)
await program.runMany(batches, { seed: 0, step: 0 })
process.on("message", async (milliseconds: number) => {
  const from = performance.now()
  let steps = 0
  while (performance.now() - from < milliseconds) {
    await program.runMany(batches, { seed: 0, step: steps })
    steps += stepsPerCall
  }
  process.send!((1000 * steps) / (performance.now() - from))
})
process.on("disconnect", () => process.exit(0))
process.send!("ready")
