import type { catalogue } from "./catalogue.ts"
import { ensureDataset, type LoadOptions } from "./ensure.ts"
import { lookUp } from "./look-up.ts"

/** A multivariate time series. */
export interface SeriesDataset {
  readonly name: string
  readonly channels: readonly string[]
  readonly length: number
  /** [length, channels], row-major, as published */
  readonly values: Float64Array
  /** milliseconds since 1970, increasing; the step need not be constant (trading days) */
  readonly times: Float64Array
  readonly hash: string
}

/** Data sets that {@link loadSeries} takes. */
export type SeriesDatasetName = {
  [K in keyof typeof catalogue]: (typeof catalogue)[K]["kind"] extends "series" ? K : never
}[keyof typeof catalogue]

/** A time series by name. Cache, network and errors as for `loadDataset`. */
export async function loadSeries(name: SeriesDatasetName, options: LoadOptions = {}): Promise<SeriesDataset> {
  const file = await ensureDataset(lookUp(name, "series"), options)
  const numbers = (array: string) => {
    const bytes = file.array(array)
    return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8)
  }
  const times = numbers("times")
  return {
    name,
    channels: file.header.facts["channels"] as readonly string[],
    length: times.length,
    values: numbers("values"),
    times,
    hash: file.root,
  }
}
