/** What JSON leaves as it is and a terminal would obey: DEL and the control codes from U+0080. */
const obeyed = /[\u007f-\u009f]/g

/**
 * JSON in which NaN and infinities are the strings "NaN", "Infinity" and "-Infinity" instead of null. Control codes are
 * written as escapes, so that it may be shown in a terminal; `indent` 0 gives one line.
 */
export const json = (value: unknown, indent = 2): string =>
  JSON.stringify(
    value,
    (_, x) => {
      if (typeof x === "bigint") return Number.isSafeInteger(Number(x)) ? Number(x) : String(x)
      return typeof x === "number" && !Number.isFinite(x) ? String(x) : x
    },
    indent,
  ).replace(obeyed, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
