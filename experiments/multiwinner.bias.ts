import { CommitteeUnderBias } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("multiwinner.bias", {
  question:
    "When rankings are biased against a group, how many of them does a guarantee need to find the best selection?",
  task: CommitteeUnderBias,
  base: { items: 40, select: 8, guarantee: 4, sigma: 0.3, theta: 0.5 },
  arms: {
    borda: { score: "borda" },
    bloc: { score: "bloc" },
    sntv: { score: "sntv" },
    cc: { score: "cc" },
    acc: { score: "acc" },
    hb: { score: "hb" },
  },
  seeds: 8,
  compare: [
    "ratio/fair/1000",
    "ratio/free/1000",
    "ratio/fair/10",
    "ratio/free/10",
    "ratio/fair/3000",
    "ratio/free/3000",
    "share/group",
    "gain",
  ],
  profiles: {
    quick: { arms: ["borda", "bloc", "sntv"], seeds: 2, base: { population: 1000 } },
    theta: { sweep: { theta: [1, 0.9, 0.7, 0.5, 0.3] }, arms: ["borda", "bloc", "sntv"] },
    items: { sweep: { items: [20, 40, 80] }, arms: ["borda", "bloc", "sntv"] },
    swap: { base: { bias: "swap" }, arms: ["borda", "bloc", "sntv"] },
  },
})
