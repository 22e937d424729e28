/** The operations that steps are written with, beside those of TensorFlow.js. */
export { attention, causalMask, mergeHeads, splitHeads } from "./attention.ts"
export { pairwiseDistance } from "./distance.ts"
export { dropout, dropoutMask, dropPath } from "./dropout.ts"
export { erf, gelu } from "./gelu.ts"
export { absorbNorm, layerNorm, rmsNorm, unscaledLayerNorm, worthAbsorbing } from "./layer-norm.ts"
export { linear, matMul } from "./mat-mul.ts"
export { type QuantilePosition, quantile, quantilePosition } from "./quantile.ts"
export { recompute } from "./recompute.ts"
export {
  defineKernel,
  type FusedKernel,
  fusedKernels,
  type KernelAttributes,
  type KernelFunction,
  type KernelInputs,
} from "./registry.ts"
export { scatterRows } from "./scatter-rows.ts"
export { softmaxCrossEntropy } from "./softmax-cross-entropy.ts"
export { stopGradient } from "./stop-gradient.ts"
