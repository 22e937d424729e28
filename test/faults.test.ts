import { expect, it } from "vitest"
import { faultRound, undisturbed } from "./faults/faults.ts"

it.skipIf(process.platform !== "linux")(
  "whatever is killed, the same command ends with the same numbers (5 rounds)",
  { timeout: 900_000 },
  async () => {
    const reference = await undisturbed()
    for (let round = 0; round < 5; round++) {
      const result = await faultRound(2026, round, reference)
      expect(result.problems, result.faults.join(", ")).toEqual([])
    }
  },
)
