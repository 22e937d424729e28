/** Flat trees of tensors, whose names are dot paths. */
import type { HostTensor, HostTensors } from "@exp/tensor"

/** Every name with `prefix.` before it. */
export function withPrefix<T>(prefix: string, tree: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(tree).map(([name, value]) => [`${prefix}.${name}`, value]))
}

/** The entries whose names start with `prefix.`, without it. */
export function underPrefix<T>(prefix: string, tree: Readonly<Record<string, T>>): Record<string, T> {
  const start = `${prefix}.`
  return Object.fromEntries(
    Object.entries(tree).flatMap(([name, value]) =>
      name.startsWith(start) ? [[name.slice(start.length), value] as const] : [],
    ),
  )
}

/** The entries that `keep` chooses. */
export function pick<T>(
  tree: Readonly<Record<string, T>>,
  keep: (name: string, value: T) => boolean,
): Record<string, T> {
  return Object.fromEntries(Object.entries(tree).filter(([name, value]) => keep(name, value)))
}

/** The number of elements of one tensor. */
export function size(tensor: { readonly shape: readonly number[] }): number {
  return tensor.shape.reduce((a, b) => a * b, 1)
}

/** The number of elements of all tensors. */
export function countParameters(tree: Readonly<Record<string, { readonly shape: readonly number[] }>>): number {
  return Object.values(tree).reduce((sum, tensor) => sum + size(tensor), 0)
}

/** A float32 scalar on the host. */
export function hostScalar(value: number): HostTensor {
  return { data: Float32Array.of(value), shape: [], dtype: "float32" }
}

/** Numbers as scalar tensors, to be merged into a batch. */
export function hostScalars(values: Readonly<Record<string, number>>): HostTensors {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, hostScalar(value)]))
}
