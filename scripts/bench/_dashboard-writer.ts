/** Keeps the database of the dashboard benchmark changing until it is told to end. */
import { parentPort, workerData } from "node:worker_threads"
import { keepWriting } from "./_dashboard-database.ts"

const { db, live } = workerData as { readonly db: string; readonly live: readonly number[] }
const ending = new AbortController()
parentPort!.once("message", () => ending.abort())
await keepWriting(db, live, ending.signal)
