/** All lowerings of TensorFlow.js kernels. */
import type { Lowering } from "./call.ts"
import { elementwise } from "./elementwise.ts"
import { structure } from "./structure.ts"
import { windows } from "./windows.ts"

export const lowerings: Readonly<Record<string, Lowering>> = { ...elementwise, ...structure, ...windows }
