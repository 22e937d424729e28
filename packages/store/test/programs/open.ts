// Opens a database and prints the tag of the error, or "opened".
import { openStore } from "../../src/store.ts"

const [path = "", mode = "write", uid = "", start = "0"] = process.argv.slice(2)
if (uid !== "") process.setuid?.(Number(uid))
while (Date.now() < Number(start)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
try {
  const store = openStore(path, { mode: mode === "read" ? "read" : "write" })
  const runs = store.queries.count()
  store.close()
  console.log(`opened ${runs}`)
} catch (problem) {
  console.log(`${(problem as { _tag?: string })._tag}: ${(problem as Error).message}`)
}
