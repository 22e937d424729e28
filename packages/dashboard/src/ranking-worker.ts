/** Computes rankings beside the thread that draws: reading millions of results may take seconds. */
import { parentPort, workerData } from "node:worker_threads"
import { openStore } from "@exp/store"
import { type RankingQuestion, sampleRanking } from "./sample-ranking.ts"

const { path } = workerData as { readonly path: string }

parentPort!.on("message", (question: RankingQuestion) => {
  try {
    using store = openStore(path, { mode: "read", onWarning: () => {} })
    parentPort!.postMessage({ ranking: sampleRanking(store, question) })
  } catch (error) {
    parentPort!.postMessage({ problem: error instanceof Error ? error.message : String(error) })
  }
})
