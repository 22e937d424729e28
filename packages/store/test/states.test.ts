import { integer, key } from "@exp/random"
import { describe, expect, it } from "vitest"
import { canTransition, isFinal, isLive, type RunState, runStates, sourcesOf } from "../src/states.ts"
import { IllegalTransition, LeaseLost } from "../src/store.ts"
import { plant, temporaryStore } from "./temporary.ts"

describe("the life of a run", () => {
  it("ends in completed, failed and cancelled, and nowhere else", () => {
    expect(runStates.filter(isFinal)).toEqual(["completed", "failed", "cancelled"])
  })

  it("never leaves a final state, never goes back to queued from running, and never stays by a transition", () => {
    for (const from of runStates) {
      expect(canTransition(from, from)).toBe(false)
      if (isFinal(from)) for (const to of runStates) expect(canTransition(from, to)).toBe(false)
    }
    expect(canTransition("running", "queued")).toBe(false)
    expect(canTransition("interrupted", "running")).toBe(true)
  })

  it("knows from where each state is entered", () => {
    for (const to of runStates)
      expect(sourcesOf(to)).toEqual(runStates.filter((from: RunState) => canTransition(from, to)))
  })

  it("is kept by the database over random walks: lawful steps are made, unlawful ones change nothing", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    for (let walk = 0; walk < 60; walk++) {
      const runId = store.runs.start({ trialId: trialId!, owner: "me", status: walk % 2 === 0 ? "queued" : "running" })
      let state: RunState = walk % 2 === 0 ? "queued" : "running"
      for (let i = 0; i < 12; i++) {
        const to = runStates[integer(key(7, walk, i), runStates.length)]!
        if (canTransition(state, to)) {
          store.runs.transition(runId, to)
          state = to
        } else expect(() => store.runs.transition(runId, to)).toThrow(IllegalTransition)
        const run = store.runs.get(runId)!
        expect(run.status).toBe(state)
        expect(run.leaseExpiresAt === null).toBe(!isLive(state))
        expect(run.finishedAt === null).toBe(isLive(state))
        if (state === "running") expect(run.startedAt).not.toBeNull()
        if (isLive(state)) expect(() => store.runs.start({ trialId: trialId! })).toThrow(LeaseLost)
      }
      if (isLive(state)) store.runs.transition(runId, "cancelled")
    }
    const attempts = store.runs.ofTrial(trialId!).map((run) => run.attempt)
    expect(attempts).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
  })
})
