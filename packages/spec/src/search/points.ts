import { canonicalJson } from "../identity.ts"
import { coordinates, type SearchPoint, type SearchSpace } from "./parameter.ts"

/** More points than this are not listed. */
export const mostPoints = 100_000

/** The one text of a point. */
export const pointKey = (point: SearchPoint): string => canonicalJson(point)

/** All points of a finite space; undefined where a parameter is continuous or the points are too many to list. */
export function points(space: SearchSpace, most = mostPoints): ReadonlyArray<SearchPoint> | undefined {
  let found: ReadonlyArray<SearchPoint> = [{}]
  for (const name of space.names) {
    const next: SearchPoint[] = []
    for (const point of found) {
      const parameter = space.parameter(name, point)
      if (parameter === undefined) {
        next.push(point)
        continue
      }
      const { cells, value } = coordinates(parameter)
      if (cells === undefined || next.length + cells > most) return undefined
      for (let cell = 0; cell < cells; cell++) next.push({ ...point, [name]: value(cell) })
    }
    found = next
  }
  return found
}
