import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, relative } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"

const here = import.meta.dirname
const root = join(here, "../../..")

/** An experiment that compiles; every case below changes one line of it. */
const sound = `
import { asha, byArm, choice, Experiment, logUniform, medianRule, range, Task, tpe, Metric, when } from "SRC/spec.ts"
import { Full, Lora, Snella, Toy } from "TEST/toy.ts"
export default Experiment.make("toy.types", {
  task: Toy,
  base: { model: "tiny", epochs: 3, schedule: { warmup: 1 } },
  arms: {
    full: { tuner: Full(), schedule: { kind: "flat" }, tune: { learningRate: [1e-4, 1e-3] } },
    lora: { tuner: Lora({ rank: 4 }), schedule: { kind: "cosine" } },
  },
  sweep: { "schedule.warmup": range(0, 2, { step: 1 }), "tuner.rank": when("lora", [2, 4]) },
  tune: { over: { learningRate: logUniform(1e-4, 1e-1, { samples: 2 }) }, by: "val/accuracy", with: { holdout: 0.2 } },
  seeds: 5,
  compare: "test/accuracy",
  baseline: "full",
  profiles: { quick: { base: { epochs: 1 }, arms: ["lora"], seeds: 2, tune: false } },
})
Task.make("own", { version: 1, config: Toy.config, metrics: { "train/loss": Metric.min(), "layer/*": Metric.min() }, run: async (config, trial) => {
  trial.log(0, { "train/loss": config.epochs, "layer/7": 1 })
} })
`

interface Case {
  readonly name: string
  readonly from: string
  readonly to: string
  /** What the compiler has to say, at the changed line or at the arm; undefined where the change is sound. */
  readonly says?: RegExp
}

const cases: ReadonlyArray<Case> = [
  { name: "the sound one", from: "seeds: 5", to: "seeds: 5" },
  { name: "a list of seeds", from: "seeds: 5", to: "seeds: [3, 5]" },
  { name: "several metrics", from: `compare: "test/accuracy"`, to: `compare: ["test/accuracy", "layer/sparsity/1"]` },
  {
    name: "choice of literals",
    from: `"schedule.warmup": range(0, 2, { step: 1 })`,
    to: `model: choice(["tiny", "small"])`,
  },
  { name: "an axis for each arm", from: `[1e-4, 1e-3]`, to: `byArm({ full: [1e-4] }, [1e-3])` },
  { name: "another missing field", from: `epochs: 3, `, to: ``, says: /"epochs"/ },
  {
    name: "swept, it need not be given",
    from: `epochs: 3, schedule: { warmup: 1 } },`,
    to: `schedule: {} }, // swept`,
  },
  {
    name: "fields of a tagged value without its tag",
    from: `lora: { tuner: Lora({ rank: 4 })`,
    to: `lora: { tuner: { rank: 2 }`,
  },
  { name: "wrong field in base", from: "epochs: 3", to: "epochs: 3, epoch: 3", says: /NotAFieldOfTheConfig<"epoch">/ },
  {
    name: "wrong nested field in base",
    from: "{ warmup: 1 }",
    to: "{ warmup: 1, warm: 2 }",
    says: /NotAFieldOfTheConfig<"schedule.warm">/,
  },
  {
    name: "wrong field in an arm",
    from: "tuner: Full(),",
    to: "tuner: Full(), epoch: 3,",
    says: /NotAFieldOfTheConfig<"epoch">/,
  },
  {
    name: "wrong field in a tagged value",
    from: "Lora({ rank: 4 })",
    to: `{ _tag: "Lora", rank: 4, rnk: 4 }`,
    says: /NotAFieldOfTheConfig<"tuner.rnk">/,
  },
  {
    name: "wrong type in base",
    from: "epochs: 3",
    to: `epochs: "3"`,
    says: /'string' is not assignable to type 'number'/,
  },
  { name: "wrong literal", from: `model: "tiny"`, to: `model: "tinny"`, says: /Did you mean '"tiny"'/ },
  { name: "wrong type in an arm", from: `kind: "flat"`, to: `kind: 1`, says: /number.*is not assignable/ },
  { name: "missing required field", from: `model: "tiny", `, to: ``, says: /MissingFields<"model">/ },
  {
    name: "missing nested field in one arm",
    from: `, schedule: { kind: "cosine" }`,
    to: ``,
    says: /MissingFields<"schedule.kind">/,
  },
  { name: "missing method in one arm", from: `tuner: Full(), `, to: ``, says: /MissingFields<"tuner">/ },
  {
    name: "untuned and not given",
    from: `learningRate: logUniform(1e-4, 1e-1, { samples: 2 })`,
    to: `epochs: [1]`,
    says: /MissingFields<"learningRate">/,
  },
  {
    name: "undeclared metric in compare",
    from: `compare: "test/accuracy"`,
    to: `compare: "test/acuracy"`,
    says: /Did you mean '"test\/accuracy"'/,
  },
  {
    name: "undeclared metric in tune.by",
    from: `by: "val/accuracy"`,
    to: `by: "val/acuracy"`,
    says: /Did you mean '"val\/accuracy"'/,
  },
  {
    name: "undeclared metric in trial.log",
    from: `"layer/7": 1`,
    to: `"train/los": 1`,
    says: /'"train\/los"' does not exist|did you mean/i,
  },
  {
    name: "an adaptive search with early stopping",
    from: `by: "val/accuracy", with`,
    to: `by: "val/accuracy", search: tpe({ trials: 50 }), stop: asha({ min: 1 }), parallel: 8, with`,
  },
  {
    name: "another one in a profile",
    from: `seeds: 2, tune: false`,
    to: `seeds: 2, tune: { search: tpe({ trials: 8, seed: 1 }), stop: medianRule({ after: 2 }) }`,
  },
  {
    name: "a search without trials",
    from: `by: "val/accuracy", with`,
    to: `by: "val/accuracy", search: tpe({}), with`,
    says: /trials/,
  },
  {
    name: "an unknown option of a rule",
    from: `by: "val/accuracy", with`,
    to: `by: "val/accuracy", stop: asha({ min: 1, eta: 3 }), with`,
    says: /eta/,
  },
  {
    name: "a rule in the place of a search",
    from: `by: "val/accuracy", with`,
    to: `by: "val/accuracy", search: asha({ min: 1 }), with`,
    says: /Tpe/,
  },
  { name: "wrong path in tune", from: `over: { learningRate:`, to: `over: { learningRat:`, says: /learningRat/ },
  { name: "wrong path in sweep", from: `"tuner.rank":`, to: `"tuner.rnk":`, says: /tuner\.rnk/ },
  {
    name: "wrong values in sweep",
    from: `range(0, 2, { step: 1 })`,
    to: `["a"]`,
    says: /string.*is not assignable|not assignable to type/,
  },
  { name: "wrong field in tune.with", from: `holdout: 0.2`, to: `holdot: 0.2`, says: /holdot/ },
  {
    name: "unknown baseline",
    from: `baseline: "full"`,
    to: `baseline: "fill"`,
    says: /'"fill"' is not assignable to type '"full" \| "lora"/,
  },
  {
    name: "unknown arm in a profile",
    from: `arms: ["lora"]`,
    to: `arms: ["lore"]`,
    says: /'"lore"' is not assignable to type '"full" \| "lora"'/,
  },
  { name: "wrong field in a profile", from: `base: { epochs: 1 }`, to: `base: { epoch: 1 }`, says: /epoch/ },
  { name: "wrong config of a method", from: `Lora({ rank: 4 })`, to: `Lora({ rnk: 4 })`, says: /rnk/ },
]

describe("the compiler holds an experiment to its task", () => {
  let scratch: string
  let output = ""
  const fileOf = (i: number) => `case-${String(i).padStart(2, "0")}.ts`

  beforeAll(() => {
    // Inside the repository, so that imports resolve as they do for a user.
    mkdirSync(join(root, "node_modules/.cache"), { recursive: true })
    scratch = mkdtempSync(join(root, "node_modules/.cache/spec-types-"))
    const src = relative(scratch, join(here, "../src"))
    const tests = relative(scratch, here)
    for (const [i, { from, to, name }] of cases.entries()) {
      let text = sound
      if (!text.includes(from)) throw new Error(`case "${name}" changes text that is not there: ${from}`)
      text = text.replace(from, to)
      if (to.includes("// swept")) text = text.replace("sweep: {", "sweep: { epochs: [1, 2],")
      writeFileSync(join(scratch, fileOf(i)), text.replace("SRC", src).replace("TEST", tests))
    }
    const config = {
      extends: relative(scratch, join(root, "tsconfig.json")),
      compilerOptions: { noUnusedLocals: false },
      include: ["*.ts"],
    }
    writeFileSync(join(scratch, "tsconfig.json"), JSON.stringify(config))
    const compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc")
    try {
      output = execFileSync(process.execPath, [compiler, "--noEmit", "--pretty", "false", "-p", scratch], {
        encoding: "utf8",
      })
    } catch (failure) {
      output = (failure as { stdout: string }).stdout
    }
  })
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))

  for (const [i, { name, says }] of cases.entries()) {
    test(`${name}: ${says === undefined ? "compiles" : "does not compile"}`, () => {
      const start = output.split("\n").findIndex((line) => line.includes(fileOf(i)))
      const mine = output
        .split("\n")
        .slice(start < 0 ? Number.POSITIVE_INFINITY : start)
        .filter(
          (line, n, lines) =>
            line.includes(fileOf(i)) ||
            (line.startsWith(" ") &&
              lines
                .slice(0, n)
                .findLast((l) => !l.startsWith(" "))
                ?.includes(fileOf(i))),
        )
        .join("\n")
      if (says === undefined) expect(mine).toBe("")
      else expect(mine).toMatch(says)
    })
  }
})
