export { type DeviceName, openDevice } from "./devices.ts"
export { type Distribution, draw } from "./draws.ts"
export * from "./errors.ts"
export * from "./ops/ops.ts"
export { EagerProgram, eagerRandomness } from "./program.ts"
export { makeRandomness } from "./random.ts"
export {
  decodeRawSafetensors,
  decodeSafetensors,
  encodeRawSafetensors,
  encodeSafetensors,
  InvalidSafetensors,
  type RawSafetensors,
  type RawTensor,
  type SafetensorsType,
} from "./safetensors.ts"
export type {
  CompileOptions,
  Device,
  HostTensor,
  HostTensors,
  HostType,
  Program,
  Randomness,
  Step,
  StepTime,
  Tensors,
} from "./step.ts"
export { valueAndGradients } from "./value-and-gradients.ts"
