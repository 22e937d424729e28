/**
 * A declared, named number. Its name is the key under which a task declares it, with slashes between the words:
 * `train/loss`, `test/accuracy`, `mem/optimizer_bytes`. A name whose last word is `*` declares a family:
 * `layer/sparsity/*` declares `layer/sparsity/0`, `layer/sparsity/1`, …
 */
export interface Metric {
  /** Which direction is better. */
  readonly goal: "max" | "min"
  /** Unit of the value, as printed after it: `ratio`, `B`, `ms`. */
  readonly unit?: string
  readonly description?: string
}

/** The metrics that a task declares, by name. */
export type Metrics = { readonly [name: string]: Metric }

/** What may be said about a metric besides its goal. */
export interface MetricOptions {
  readonly unit?: string
  readonly description?: string
}

export const Metric = {
  /** A metric that is better when larger. */
  max: (options: MetricOptions = {}): Metric => ({ goal: "max", ...options }),
  /** A metric that is better when smaller. */
  min: (options: MetricOptions = {}): Metric => ({ goal: "min", ...options }),
}

/** The names a value may be logged under: declared names, with a trailing `*` standing for any last words. */
export type MetricName<M extends Metrics> = {
  [K in keyof M & string]: K extends `${infer Family}/*` ? `${Family}/${string}` : K
}[keyof M & string]

/**
 * The declaration that covers `name`: the exact one, else the longest family (`layer/*`) it belongs to, else undefined.
 */
export function declaredMetric(metrics: Metrics, name: string): Metric | undefined {
  if (name.endsWith("/*") || name.endsWith("/")) return undefined
  if (Object.hasOwn(metrics, name)) return metrics[name]
  for (let cut = name.lastIndexOf("/"); cut > 0; cut = name.lastIndexOf("/", cut - 1)) {
    const family = `${name.slice(0, cut)}/*`
    if (Object.hasOwn(metrics, family)) return metrics[family]
  }
  return undefined
}
