/** The Gaussian error linear unit, exact form. */
import * as tf from "@tensorflow/tfjs-core"
import { defineKernel, values } from "./registry.ts"

const root2 = Math.SQRT2
const rootTwoPi = Math.sqrt(2 * Math.PI)

/**
 * The error function in double precision, absolute error below 1.2e-7 relative to erfc (Press et al., Numerical
 * Recipes, erfc by a Chebyshev fit), which is below the resolution of float32 for the values computed here.
 */
export function erf(x: number): number {
  const z = Math.abs(x)
  // Near zero the complement loses digits: use the Maclaurin series there.
  if (z < 0.5) {
    const s = x * x
    return (
      (2 / Math.sqrt(Math.PI)) *
      x *
      (1 - s * (1 / 3 - s * (1 / 10 - s * (1 / 42 - s * (1 / 216 - s * (1 / 1320 - s / 9360))))))
    )
  }
  const t = 1 / (1 + 0.5 * z)
  const c =
    t *
    Math.exp(
      -z * z -
        1.26551223 +
        t *
          (1.00002368 +
            t *
              (0.37409196 +
                t *
                  (0.09678418 +
                    t *
                      (-0.18628806 +
                        t *
                          (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))),
    )
  return x >= 0 ? 1 - c : c - 1
}

const gradientKernel = defineKernel({
  name: "ExpGeluGrad",
  composite: ({ x, dy }) => {
    const cdf = tf.mul(tf.add(tf.erf(tf.mul(x!, 1 / root2)), 1), 0.5)
    const pdf = tf.mul(tf.exp(tf.mul(tf.square(x!), -0.5)), 1 / rootTwoPi)
    return tf.mul(dy!, tf.add(cdf, tf.mul(x!, pdf)))
  },
  host: ({ x, dy }) => {
    const xs = values(x!)
    const ds = values(dy!)
    const out = new Float32Array(xs.length)
    for (let i = 0; i < out.length; i++) {
      const v = xs[i]!
      out[i] = ds[i]! * (0.5 * (1 + erf(v / root2)) + (v * Math.exp(-0.5 * v * v)) / rootTwoPi)
    }
    return tf.tensor(out, x!.shape)
  },
})

const kernel = defineKernel({
  name: "ExpGelu",
  composite: ({ x }) => tf.mul(tf.mul(x!, 0.5), tf.add(tf.erf(tf.mul(x!, 1 / root2)), 1)),
  host: ({ x }) => {
    const xs = values(x!)
    const out = new Float32Array(xs.length)
    for (let i = 0; i < out.length; i++) out[i] = 0.5 * xs[i]! * (1 + erf(xs[i]! / root2))
    return tf.tensor(out, x!.shape)
  },
  gradient: {
    saveInputs: ["x"],
    of: ([dy], [x]) => ({ x: () => gradientKernel({ x: x!, dy: dy! })[0]! }),
  },
})

/**
 * GELU, `x·Φ(x) = ½·x·(1 + erf(x/√2))` (Hendrycks and Gimpel 2016, arXiv 1606.08415, the exact form), for any shape.
 * Gradient `Φ(x) + x·φ(x)`. Agrees between devices within 3e-7 absolute (different approximations of erf).
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  return kernel({ x })[0] as T
}
