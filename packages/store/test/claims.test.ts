/** Random walks over everything that gives, takes over and ends ownership of a trial. */
import { integer, key } from "@exp/random"
import { expect, it } from "vitest"
import {
  buryDeadRuns,
  type ClaimRequest,
  claimTrial,
  hasDeadRuns,
  renewLeases,
  requestCancel,
  settleRun,
} from "../src/claims.ts"
import { canTransition, isFinal, isLive, type RunState } from "../src/states.ts"
import { plant, temporaryStore } from "./temporary.ts"

const owners = ["ann", "bob", "cyd"] as const

it("no step of any coordinator breaks what must hold of runs", () => {
  let claims = 0
  let takeovers = 0
  for (let walk = 0; walk < 25; walk++) {
    const store = temporaryStore()
    const { connection } = store
    const trials = plant(store, { seeds: 3 })
    const dead = new Set<string>()
    const isGone: ClaimRequest["isGone"] = (owner) => owner !== null && dead.has(owner)
    const draw = (step: number, what: number, below: number) => integer(key(11, walk, what), below, step)
    const look = () =>
      connection
        .sql<{ id: number; trialId: string; status: RunState; owner: string | null; attempt: number }>(
          "SELECT id, trial_id, status, owner, attempt FROM runs ORDER BY id",
        )
        .all()
    let before = look()
    for (let step = 0; step < 80; step++) {
      const owner = owners[draw(step, 0, owners.length)]!
      const trialId = trials[draw(step, 1, trials.length)]!
      const run = before.length > 0 ? before[draw(step, 2, before.length)]! : undefined
      const action = draw(step, 3, 8)
      if (action <= 2 && !dead.has(owner)) {
        const claim = claimTrial(connection, {
          trialId,
          owner,
          pid: 1,
          origin: {
            device: "cpu",
            host: "here",
            codeHash: "c",
            gitCommit: undefined,
            gitDirty: undefined,
            packages: {},
            environment: {},
          },
          accepts: () => true,
          continues: () => true,
          isGone,
          cancelledAfter: 0,
        } as ClaimRequest)
        const live = before.find((r) => r.trialId === trialId && isLive(r.status))
        const done = before.some((r) => r.trialId === trialId && r.status === "completed")
        if (live !== undefined && !dead.has(live.owner!)) expect(claim.type).toBe("busy")
        else if (done) expect(claim.type).toBe("done")
        else expect(["mine", "cancelled"]).toContain(claim.type)
        if (claim.type === "mine") {
          claims++
          if (claim.buried !== undefined) takeovers++
        }
      } else if (action <= 4 && run !== undefined) {
        const to = (["completed", "failed", "cancelled", "interrupted"] as const)[draw(step, 4, 4)]!
        const may = run.owner === owner && isLive(run.status) && canTransition(run.status, to)
        const done = settleRun(connection, { runId: run.id, owner, to })
        // What was interrupted has no owner at work: it may be settled as cancelled by the one it was.
        if (may) expect(done).toBe(true)
        else if (run.owner !== owner || isFinal(run.status)) expect(done).toBe(false)
      } else if (action === 5) {
        if (dead.has(owner)) dead.delete(owner)
        else if (dead.size < 2) dead.add(owner)
      } else if (action === 6) {
        const any = before.some((r) => isLive(r.status) && dead.has(r.owner!))
        expect(hasDeadRuns(connection, isGone)).toBe(any)
        buryDeadRuns(connection, isGone)
        expect(look().some((r) => isLive(r.status) && dead.has(r.owner!))).toBe(false)
      } else {
        renewLeases(connection, owner)
        if (draw(step, 5, 2) === 0) requestCancel(connection, { trial: trialId })
      }
      const after = look()
      for (const id of trials) {
        const own = after.filter((r) => r.trialId === id)
        expect(own.filter((r) => isLive(r.status)).length).toBeLessThanOrEqual(1)
        expect(own.filter((r) => r.status === "completed").length).toBeLessThanOrEqual(1)
        expect(new Set(own.map((r) => r.attempt)).size).toBe(own.length)
      }
      for (const old of before) {
        const now = after.find((r) => r.id === old.id)
        expect(now, "no run disappears").toBeDefined()
        if (now!.status !== old.status)
          expect(canTransition(old.status, now!.status), `${old.status} → ${now!.status}`).toBe(true)
      }
      before = after
    }
    store.close()
  }
  // The walks went where it is interesting.
  expect(claims).toBeGreaterThan(100)
  expect(takeovers).toBeGreaterThan(5)
})
