/** JSON in which NaN and infinities are the strings "NaN", "Infinity" and "-Infinity" instead of null. */
export const json = (value: unknown): string =>
  JSON.stringify(
    value,
    (_, x) => {
      if (typeof x === "bigint") return Number.isSafeInteger(Number(x)) ? Number(x) : String(x)
      return typeof x === "number" && !Number.isFinite(x) ? String(x) : x
    },
    2,
  )
