/** `npm run test:faults -- --rounds N --seed S`: many rounds, one line each; exit code 1 when any went wrong. */
import { parseArgs } from "node:util"
import { faultRound, undisturbed } from "./faults.ts"

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    from: { type: "string", default: "0" },
  },
})
const rounds = Number(values.rounds)
const seed = Number(values.seed)
const from = Number(values.from)
const reference = await undisturbed()
let bad = 0
const takeovers: number[] = []
for (let round = from; round < from + rounds; round++) {
  const { faults, problems, seconds, takeoverMs } = await faultRound(seed, round, reference)
  if (problems.length > 0) bad++
  takeovers.push(...takeoverMs)
  console.log(
    `round ${round}: ${problems.length === 0 ? "ok" : "FAILED"} (${seconds.toFixed(1)} s; ${faults.join(", ")})`,
  )
  for (const problem of problems) console.log(`  ${problem}`)
}
console.log(
  `${rounds - bad} of ${rounds} rounds survived (seed ${seed}, ${reference.size} metric values compared in each)`,
)
if (takeovers.length > 0) {
  const slowest = (Math.max(...takeovers) / 1000).toFixed(1)
  console.log(`${takeovers.length} times a second coordinator saw a first one die; it took over within ${slowest} s`)
}
process.exitCode = bad === 0 ? 0 : 1
