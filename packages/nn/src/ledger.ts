/**
 * The memory ledger: bytes of what training keeps, counted from shapes, equal on every device. Float32 throughout.
 */
import { countParameters, size } from "./trees.ts"

type Shapes = Readonly<Record<string, { readonly shape: readonly number[] }>>

/** What a method keeps in memory. */
export interface LedgerInput {
  /** All parameters: the frozen model, the head, and what the method adds. */
  readonly weights: Shapes
  /** The parameters for which a gradient is materialised. Default: `trainable`. */
  readonly gradients?: Shapes
  /** The parameters with optimiser state. */
  readonly trainable: Shapes
  /** Entries effectively trained, where fewer than those held (a mask). Default: all of `trainable`. */
  readonly effectiveTrainable?: number
  /** Masked entries, and bytes for each (1 for bool, 4 where masks are kept as floats). */
  readonly masks?: { readonly entries: number; readonly bytesPerEntry: 1 | 4 }
  /** Bytes kept beside dense tensors, e.g. index lists of compressed tensors; counted as optimiser state. */
  readonly extraOptimizerBytes?: number
}

/** The ledger in bytes, but `mem/trainable`, a count. Names are metric names. */
export interface Ledger {
  readonly "mem/weights": number
  readonly "mem/trainable": number
  readonly "mem/grads": number
  readonly "mem/optimizer": number
  readonly "mem/masks": number
  readonly "mem/state": number
}

/** Bytes of AdamW's state: two moments for each entry and an 8-byte counter for each tensor. */
export function adamwBytes(trainable: Shapes): number {
  return 8 * countParameters(trainable) + 8 * Object.keys(trainable).length
}

/** Bytes of tensors at 4 bytes an entry. */
export function floatBytes(tensors: Shapes): number {
  return 4 * countParameters(tensors)
}

/** Bytes of compressed sparse tensors: a 4-byte index, the value and two moments for each kept entry. */
export function compressedBytes(entries: number): number {
  return 16 * entries
}

/** The ledger of a method trained with AdamW. `mem/state` = gradients + optimiser + masks. */
export function ledger(input: LedgerInput): Ledger {
  const grads = floatBytes(input.gradients ?? input.trainable)
  const optimizer = adamwBytes(input.trainable) + (input.extraOptimizerBytes ?? 0)
  const masks = input.masks ? input.masks.entries * input.masks.bytesPerEntry : 0
  return {
    "mem/weights": floatBytes(input.weights),
    "mem/trainable": input.effectiveTrainable ?? countParameters(input.trainable),
    "mem/grads": grads,
    "mem/optimizer": optimizer,
    "mem/masks": masks,
    "mem/state": grads + optimizer + masks,
  }
}

/** Bytes of one host tensor or shape with its element type. */
export function tensorBytes(tensor: { readonly shape: readonly number[]; readonly dtype: string }): number {
  return size(tensor) * (tensor.dtype === "bool" ? 1 : 4)
}
