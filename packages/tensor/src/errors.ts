/** Errors of the tensor package. Each has a `_tag`, the fields its message is made of, and says what to do. */

/** A device was asked for that this machine or installation does not have. */
export class DeviceUnavailable extends Error {
  readonly _tag = "DeviceUnavailable"
  readonly device: string
  readonly reason: string
  constructor(device: string, reason: string) {
    super(`device "${device}" is not available: ${reason}`)
    this.name = "DeviceUnavailable"
    this.device = device
    this.reason = reason
  }
}

/** A step returned a state, or was given a state or a batch, that does not fit what it had before. */
export class ShapeMismatch extends Error {
  readonly _tag = "ShapeMismatch"
  readonly path: string
  readonly expected: string
  readonly got: string
  constructor(path: string, expected: string, got: string) {
    super(`${path}: expected ${expected}, got ${got}`)
    this.name = "ShapeMismatch"
    this.path = path
    this.expected = expected
    this.got = got
  }
}

/** A program was run before `load`, or used after `dispose`. */
export class ProgramNotReady extends Error {
  readonly _tag = "ProgramNotReady"
  constructor(message: string) {
    super(message)
    this.name = "ProgramNotReady"
  }
}

/** Where in the step the trace stood when something went wrong. */
export interface TraceLocation {
  /** The TensorFlow.js kernel, "MatMul" for example. */
  readonly op: string
  /** "file:line" of the user's code, or "unknown". */
  readonly line: string
}

/** A tensor's value was asked for (`dataSync`, `arraySync`, `if (loss < x)`, …) while a step was being traced. */
export class ValueReadInStep extends Error {
  readonly _tag = "ValueReadInStep"
  readonly op: string
  readonly line: string
  constructor(at: TraceLocation) {
    super(
      `the value of a tensor (made by ${at.op}) was read inside a compiled step at ${at.line}. ` +
        "A step is traced once, so no values exist yet and JavaScript cannot branch on them: " +
        "return the tensor as a metric and read it after run(), or choose between values with tf.where. " +
        'To run the step without compilation, use device "wasm" or compile(step, { fallback: "eager" }).',
    )
    this.name = "ValueReadInStep"
    this.op = at.op
    this.line = at.line
  }
}

/** An operation has no lowering to the native graph. */
export class OpWithoutLowering extends Error {
  readonly _tag = "OpWithoutLowering"
  readonly op: string
  readonly line: string
  constructor(at: TraceLocation, why?: string) {
    super(
      `the operation ${at.op} at ${at.line} cannot be compiled${why ? `: ${why}` : ""}. ` +
        'Express it through operations listed in packages/tensor/OPS.md, run on device "wasm", ' +
        'or accept eager execution with compile(step, { fallback: "eager" }).',
    )
    this.name = "OpWithoutLowering"
    this.op = at.op
    this.line = at.line
  }
}

/** A device that runs steps eagerly has no kernel for an operation. */
export class OpWithoutKernel extends Error {
  readonly _tag = "OpWithoutKernel"
  readonly op: string
  readonly device: string
  constructor(op: string, device: string) {
    super(
      `the operation ${op} has no kernel on device "${device}". packages/tensor/OPS.md lists what each device has; ` +
        'compiled devices ("cpu", "webgpu") and "wasm" have all of it.',
    )
    this.name = "OpWithoutKernel"
    this.op = op
    this.device = device
  }
}

/** A tensor made outside the step, larger than a small constant, was used inside it and would be frozen in the graph. */
export class LargeCapturedConstant extends Error {
  readonly _tag = "LargeCapturedConstant"
  readonly op: string
  readonly line: string
  readonly bytes: number
  constructor(at: TraceLocation, shape: readonly number[], bytes: number) {
    super(
      `${at.op} at ${at.line} uses a tensor of shape [${shape.join(", ")}] (${bytes} bytes) that was made outside the step. ` +
        "It would be frozen into the compiled graph with the value it has now: pass it in through the state or the batch.",
    )
    this.name = "LargeCapturedConstant"
    this.op = at.op
    this.line = at.line
    this.bytes = bytes
  }
}

/** The native runtime refused the graph or failed while running it. */
export class NativeRuntimeError extends Error {
  readonly _tag = "NativeRuntimeError"
  constructor(doing: string, cause: unknown) {
    super(`${doing}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = "NativeRuntimeError"
  }
}

/** A device has no memory left for what a step needs, or a tensor is larger than the device allows. */
export class OutOfDeviceMemory extends Error {
  readonly _tag = "OutOfDeviceMemory"
  readonly device: string
  constructor(device: string, doing: string, cause: unknown) {
    super(
      `${doing}: device "${device}" has no room for it (${said(cause)}). Use a smaller batch or wrap parts of the step in ` +
        `recompute(f)${device === "cpu" ? "" : ', or run on device "cpu"'}; exp show RUN --graph says what a step needs.`,
      { cause },
    )
    this.name = "OutOfDeviceMemory"
    this.device = device
  }
}

/** A GPU stopped answering: its driver was reset, it was unplugged, or a kernel ran for too long. */
export class DeviceLost extends Error {
  readonly _tag = "DeviceLost"
  readonly device: string
  constructor(device: string, cause: unknown) {
    super(
      `device "${device}" was lost (${said(cause)}). Everything in its memory is gone, and this process cannot use it again: ` +
        "start a new one, which resumes from the last checkpoint.",
      { cause },
    )
    this.name = "DeviceLost"
    this.device = device
  }
}

function said(cause: unknown): string {
  // Errors of the GPU are no instances of Error.
  const message = (cause as { readonly message?: unknown } | undefined)?.message ?? cause
  return String(message).split("\n")[0]!.trim()
}

/** TensorFlow.js's own random numbers were asked for inside a compiled step: they would be frozen in the graph. */
export class HiddenRandomness extends Error {
  readonly _tag = "HiddenRandomness"
  readonly op: string
  readonly line: string
  constructor(at: TraceLocation) {
    super(
      `${at.op} at ${at.line} draws random numbers in JavaScript, once, while the step is traced: every run would use the same ones. ` +
        "Use the step's third argument: randomness.uniform(stream, shape) or randomness.normal(stream, shape).",
    )
    this.name = "HiddenRandomness"
    this.op = at.op
    this.line = at.line
  }
}
