/** How images are resized, as matrices. */

/** Where output positions fall among the inputs. */
export interface ResizeOptions {
  readonly alignCorners: boolean
  readonly halfPixelCenters: boolean
}

/** Weights [out, in] of a resize along one axis: each output is a combination of at most two inputs. */
export function resizeMatrix(n: number, out: number, a: ResizeOptions, nearest: boolean): number[] {
  const corner = a.alignCorners && out > 1
  const scale = corner ? (n - 1) / (out - 1) : n / out
  const m = new Array<number>(out * n).fill(0)
  for (let i = 0; i < out; i++) {
    if (nearest) {
      const at = a.halfPixelCenters ? scale * (i + 0.5) : scale * i
      const j = Math.min(n - 1, a.alignCorners ? Math.round(at) : Math.floor(at))
      m[i * n + j] = 1
      continue
    }
    const at = a.halfPixelCenters ? scale * (i + 0.5) - 0.5 : scale * i
    const low = Math.max(0, Math.floor(at))
    const high = Math.min(n - 1, Math.ceil(at))
    const fraction = at - low
    m[i * n + low]! += 1 - fraction
    m[i * n + high]! += fraction
  }
  return m
}
