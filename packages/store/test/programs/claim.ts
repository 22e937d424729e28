// Tries to start every trial; prints which it got.
import { openStore } from "../../src/store.ts"

const [path = "", owner = "", start = "0", ...trials] = process.argv.slice(2)
const store = openStore(path, { mode: "write" })
while (Date.now() < Number(start)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
const got: string[] = []
for (const trialId of trials) {
  try {
    store.runs.start({ trialId, owner })
    got.push(trialId)
  } catch (problem) {
    if ((problem as { _tag?: string })._tag !== "LeaseLost") throw problem
  }
}
store.close()
console.log(JSON.stringify(got))
