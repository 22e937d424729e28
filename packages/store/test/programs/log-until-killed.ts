// Logs as fast as it can and says after every flush up to which step all is written.
import { writeSync } from "node:fs"
import { openStore } from "../../src/store.ts"

const [path = "", runId = "1"] = process.argv.slice(2)
const store = openStore(path, { mode: "write" })
const writer = store.metricWriter(Number(runId))
for (let step = 0; ; step++) {
  writer.log(step, "train/loss", step / 2)
  if (step % 5000 === 4999) {
    writer.flush()
    writeSync(1, `${step}\n`)
  }
}
