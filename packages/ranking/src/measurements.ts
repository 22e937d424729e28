/** Measurements as parallel columns, made ready for comparison. */

/** `competitor[i]` got `value[i]` in the metric numbered `metric[i]` on the sample numbered `sample[i]`. */
export interface Measurements {
  /** Number of metrics. */
  readonly metrics: number
  readonly competitor: Int32Array
  readonly metric: Int32Array
  readonly sample: Int32Array
  readonly value: Float64Array
}

/** Measurements without NaNs, in which a sample holds values of one metric only. */
export interface Comparable {
  readonly competitor: Int32Array
  readonly sample: Int32Array
  readonly value: Float64Array
  /** For each new sample number: the sample and the metric that it stands for. */
  readonly samples: readonly { readonly sample: number; readonly metric: number }[]
  /** Measurements that were NaN and are left out. */
  readonly nan: number
}

/** A sample under two metrics is two samples: their values are never compared with each other. */
export function comparable(measured: Measurements): Comparable {
  const size = measured.value.length
  const competitor = new Int32Array(size)
  const sample = new Int32Array(size)
  const value = new Float64Array(size)
  const numbers = new Map<number, number>()
  const samples: { sample: number; metric: number }[] = []
  let kept = 0
  for (let i = 0; i < size; i++) {
    if (Number.isNaN(measured.value[i]!)) continue
    const key = measured.sample[i]! * measured.metrics + measured.metric[i]!
    let number = numbers.get(key)
    if (number === undefined) {
      number = samples.length
      numbers.set(key, number)
      samples.push({ sample: measured.sample[i]!, metric: measured.metric[i]! })
    }
    competitor[kept] = measured.competitor[i]!
    value[kept] = measured.value[i]!
    sample[kept++] = number
  }
  return {
    competitor: competitor.subarray(0, kept),
    sample: sample.subarray(0, kept),
    value: value.subarray(0, kept),
    samples,
    nan: size - kept,
  }
}
