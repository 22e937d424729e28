import { canonicalJson } from "../identity.ts"
import { coordinates, type SearchPoint, type SearchSpace } from "./parameter.ts"

/** More points than this are not listed. */
export const mostPoints = 100_000

const keys = new WeakMap<SearchPoint, string>()

/** The one text of a point. Kept with the point, since a search asks for those of all its points again and again. */
export function pointKey(point: SearchPoint): string {
  let found = keys.get(point)
  if (found === undefined) {
    found = canonicalJson(point)
    keys.set(point, found)
  }
  return found
}

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
