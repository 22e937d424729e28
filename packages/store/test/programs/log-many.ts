// One of several writers on a file: logs values for some seconds, and reports the longest wait of a log or flush.
import { openStore } from "../../src/store.ts"

const [path = "", runId = "1", count = "1000", start = "0"] = process.argv.slice(2)
const store = openStore(path, { mode: "write" })
while (Date.now() < Number(start)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
const writer = store.metricWriter(Number(runId))
let longest = 0
const began = performance.now()
for (let step = 0; step < Number(count); step++) {
  const before = performance.now()
  writer.log(step, "train/loss", step)
  longest = Math.max(longest, performance.now() - before)
}
const before = performance.now()
writer.flush()
longest = Math.max(longest, performance.now() - before)
const seconds = (performance.now() - began) / 1000
const began2 = Date.now()
store.close()
console.log(JSON.stringify({ longest, seconds, finished: began2 }))
