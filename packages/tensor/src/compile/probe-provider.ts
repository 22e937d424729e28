/** Whether an execution provider of ONNX Runtime starts at all: it is not known before a session has been opened. */
import { openSession } from "./engine.ts"
import { encodeModel } from "./onnx.ts"

/**
 * Opens and closes a session of one operator.
 *
 * @returns why the provider does not start, in one line; undefined when it does
 */
export function whyProviderFails(provider: "webgpu" | "cuda"): string | undefined {
  const type = { shape: [1], dtype: "float32" as const }
  const model = encodeModel({
    name: "probe",
    nodes: [{ op: "Neg", domain: "", name: "n", inputs: ["x"], outputs: ["y"], attributes: {} }],
    initializers: [],
    inputs: [{ name: "x", type }],
    outputs: [{ name: "y", type }],
  })
  try {
    openSession(model, { provider }).release()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0]! : String(error)
  }
}
