/**
 * What a second process adds: training steps a second of two processes at once, beside one process alone. Rounds of both
 * kinds alternate; `ratio` is the gain, at most 2 on two free cores.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { median } from "./_torch_pair.ts"

const rounds = 5
const milliseconds = 3000

const start = async (): Promise<ChildProcess> => {
  const child = fork(join(import.meta.dirname, "_parallel_worker.ts"), { execArgv: [] })
  await once(child, "message")
  return child
}
const rate = async (child: ChildProcess): Promise<number> => {
  const answer = once(child, "message")
  child.send(milliseconds)
  return Number((await answer)[0])
}

const workers = [await start(), await start()] as const
const alone: number[] = []
const together: number[] = []
for (let round = 0; round < rounds; round++) {
  alone.push(await rate(workers[round % 2]!))
  const both = await Promise.all(workers.map(rate))
  together.push(both[0]! + both[1]!)
}
for (const worker of workers) worker.disconnect()
console.log(
  JSON.stringify({
    name: "tensor-parallel two processes",
    unit: "steps/s",
    ours: median(together),
    peer: median(alone),
    peerName: "one process",
    ratio: median(together) / median(alone),
    target: 1.8,
    rounds,
  }),
)
