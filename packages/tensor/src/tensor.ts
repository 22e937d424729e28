export type { Adapter } from "./adapter.ts"
export { compiledGraph } from "./compile/compiled-graph.ts"
export { traceCost } from "./compile/cost.ts"
export { type OperatorTime, profileStep } from "./compile/profile.ts"
export type { Shapes } from "./compile/trace-step.ts"
export { cudaPeer } from "./cuda-device.ts"
export { type DeviceReport, describeDevices } from "./device-report.ts"
export { type DeviceName, deviceNames, openDevice } from "./devices.ts"
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
  OperatorCost,
  Program,
  ProgramGraph,
  Randomness,
  Step,
  StepCost,
  StepTime,
  Tensors,
} from "./step.ts"
export { valueAndGradients } from "./value-and-gradients.ts"
