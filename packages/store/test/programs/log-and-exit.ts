// Logs a few values and leaves by process.exit without closing anything.
import { openStore } from "../../src/store.ts"

const [path = "", runId = "1"] = process.argv.slice(2)
const store = openStore(path, { mode: "write" })
store.metricWriter(Number(runId)).logMany(3, { "train/loss": 1, "val/loss": 2 })
store.logs.append(Number(runId), "info", "last words")
process.exit(0)
