/** How far devices may be from the reference, and which cases of the operation suite stand for the others on slow ones. */
import type { OpCase } from "./op-table.ts"

/** WGSL allows trigonometric functions an absolute error of 2⁻¹¹; drivers use it. */
const trigonometric: Readonly<Record<string, number>> = { sin: 5e-4, cos: 5e-4, tan: 1e-3, acos: 5e-4, asin: 5e-4 }

/** Largest difference to the reference, relative to max(1, |value|). */
export function deviceTolerance(c: Pick<OpCase, "op" | "tolerance">, device: string): number {
  const base = c.tolerance ?? 2e-6
  if (!device.startsWith("webgpu")) return base
  // GPUs divide, take roots and exponentiate to a few units in the last place.
  return Math.max(base, 1e-5, trigonometric[c.op] ?? 0)
}

/** Labels of cases: for every device, those that it has in a form of its own, and a few that steps are made of. */
export const fewOps: Readonly<Record<string, readonly string[]>> = {
  webgpu: [
    "abs",
    "argMax",
    "attention",
    "conv3d",
    "depthwiseConv2d",
    "gather",
    "layerNorm",
    "logicalXor",
    "matMul: aᵀ·b, batched",
    "maxPool: overlapping, same",
    "pow: broadcast",
    "quantile: of 23 values at 0.5",
    "round",
    "selu",
    "sin",
    "softmaxCrossEntropy: 200 classes",
    "topk: indices",
    "unstack: twenty parts",
  ],
  "webgpu-eager": [
    "cumprod",
    "cumsum: exclusive, reverse",
    "gelu",
    "matMul: aᵀ·b, batched",
    "prod: last axis kept",
    "sin",
  ],
}
