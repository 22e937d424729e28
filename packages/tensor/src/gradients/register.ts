/**
 * The gradient of every differentiable kernel. TensorFlow.js's Node build brings none, and some of its own are wrong
 * or missing (maximum and squaredDifference with broadcasting, mirror padding, matrix products that share one operand
 * over the batch, einsum, topk, comparisons on the path), so the project has its own table.
 */
import { registerElementwise } from "./elementwise.ts"
import { registerReductions } from "./reductions.ts"
import { registerShaping } from "./shaping.ts"
import { registerWindows } from "./windows.ts"

let done = false

/** Registers all gradients, once. */
export function registerGradients(): void {
  if (done) return
  done = true
  registerElementwise()
  registerReductions()
  registerShaping()
  registerWindows()
}
