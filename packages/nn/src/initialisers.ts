/**
 * Initial values of parameters. Each tensor has a key of its own, derived from its name, so its values depend neither
 * on the order of creation nor on the other tensors of the model.
 */
import { fillNormal, fillTruncatedNormal, fillUniform, type Key } from "@exp/random"
import type { HostTensor } from "@exp/tensor"

const make = (shape: readonly number[], data: Float32Array): HostTensor => ({
  data,
  shape: [...shape],
  dtype: "float32",
})
const empty = (shape: readonly number[]) => new Float32Array(shape.reduce((a, b) => a * b, 1))

/** All zeros. */
export function zeros(shape: readonly number[]): HostTensor {
  return make(shape, empty(shape))
}

/** All equal to `value`. */
export function constant(value: number, shape: readonly number[]): HostTensor {
  return make(shape, empty(shape).fill(value))
}

/** All ones. */
export function ones(shape: readonly number[]): HostTensor {
  return constant(1, shape)
}

/** Normal numbers with standard deviation `sigma`, redrawn beyond ±2·`sigma`. */
export function truncatedNormal(key: Key, shape: readonly number[], sigma = 0.02): HostTensor {
  return make(shape, fillTruncatedNormal(key, empty(shape), sigma, 2))
}

/** Normal numbers with standard deviation `sigma`. */
export function normal(key: Key, shape: readonly number[], sigma = 1): HostTensor {
  const data = fillNormal(key, empty(shape))
  for (let i = 0; i < data.length; i++) data[i]! *= sigma
  return make(shape, data)
}

/** Uniform numbers in [−bound, bound). */
export function uniform(key: Key, shape: readonly number[], bound: number): HostTensor {
  const data = fillUniform(key, empty(shape))
  for (let i = 0; i < data.length; i++) data[i] = (2 * data[i]! - 1) * bound
  return make(shape, data)
}

/**
 * Uniform in ±√(6/((1 + a²)·fanIn)) (He et al. 2015, arXiv 1502.01852). The default a = √5 is PyTorch's for linear
 * layers and gives ±1/√fanIn.
 *
 * @param fanIn default: the first axis, the inputs of a weight [in, out]
 */
export function kaimingUniform(
  key: Key,
  shape: readonly number[],
  fanIn = shape[0] ?? 1,
  a = Math.sqrt(5),
): HostTensor {
  return uniform(key, shape, Math.sqrt(6 / ((1 + a * a) * fanIn)))
}

/** Uniform in ±√(6/(in + out)) for a weight [in, out] (Glorot and Bengio 2010). */
export function glorotUniform(key: Key, shape: readonly [number, number]): HostTensor {
  return uniform(key, shape, Math.sqrt(6 / (shape[0] + shape[1])))
}
