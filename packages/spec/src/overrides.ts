import { type SpecIssue, show } from "./errors.ts"
import { merge, nest } from "./merge.ts"
import { nearest } from "./nearest.ts"

/** The value behind `=`: JSON where the text is JSON, else the text itself. `3` is a number, `"3"` and `tiny` strings. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** `["a.b=3", "model=tiny"]`, as typed after `--set`, as a record from path to text. The last of a path wins. */
export function parseAssignments(assignments: ReadonlyArray<string>): {
  readonly set: Readonly<Record<string, string>>
  readonly issues: ReadonlyArray<SpecIssue>
} {
  const set: Record<string, string> = {}
  const issues: SpecIssue[] = []
  for (const text of assignments) {
    const cut = text.indexOf("=")
    if (cut <= 0) issues.push({ path: "--set", expected: "PATH=VALUE, such as tuner.rank=4", got: show(text) })
    else set[text.slice(0, cut).trim()] = text.slice(cut + 1)
  }
  return { set, issues }
}

/** Overrides as partial configs: for all arms, and for one (`arms.lora.tuner.rank=4`). */
export interface Overrides {
  readonly all: Readonly<Record<string, unknown>>
  of(arm: string): Readonly<Record<string, unknown>>
  readonly issues: ReadonlyArray<SpecIssue>
}

type Fields = Readonly<Record<string, unknown>>

/** Reads `--set` overrides. A path `arms.NAME.…` concerns that arm alone. */
export function overrides(set: Readonly<Record<string, string>>, arms: ReadonlyArray<string>): Overrides {
  const issues: SpecIssue[] = []
  let all: unknown = {}
  const byArm = new Map<string, unknown>()
  for (const [path, text] of Object.entries(set)) {
    const keys = path.split(".")
    if (keys.some((key) => key === "")) {
      issues.push({ path: `--set ${path}`, expected: "names joined by dots, such as tuner.rank", got: show(path) })
      continue
    }
    const value = parseValue(text)
    if (keys[0] !== "arms") {
      all = merge(all, nest({ [path]: value }))
      continue
    }
    // An arm's name may itself hold dots: the longest one that fits is meant.
    const arm = arms.filter((name) => path.startsWith(`arms.${name}.`)).sort((a, b) => b.length - a.length)[0]
    if (arm === undefined) {
      const meant = nearest(keys[1] ?? "", arms)
      const expected = `arms.NAME.FIELD with NAME one of ${arms.join(", ")}`
      issues.push({
        path: `--set ${path}`,
        expected,
        got: show(path),
        ...(meant === undefined ? {} : { nearest: meant }),
      })
      continue
    }
    byArm.set(arm, merge(byArm.get(arm) ?? {}, nest({ [path.slice(`arms.${arm}.`.length)]: value })))
  }
  return { all: all as Fields, of: (arm) => (byArm.get(arm) ?? {}) as Fields, issues }
}
