/**
 * Training steps of a wide sparse autoencoder (768 → 16,384 features, the 32 largest kept; Gao et al. 2024, arXiv
 * 2406.04093) on the cpu device beside the same model in PyTorch; see _torch_pair.ts.
 */
import { initialise, withPrefix } from "@exp/nn"
import { derive, fillNormal, key } from "@exp/random"
import { matMul, openDevice } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { comparePair } from "./_torch_pair.ts"
import { adamState, adamStep } from "./_train-step.ts"

const device = await openDevice("cpu")
const [batch, width, features, k] = [256, 768, 16_384, 32]
const params = {
  // Both as rows of features: a feature's direction in, and its direction out.
  "encoder.weight": initialise.uniform(derive(key(1), 0), [features, width], width ** -0.5),
  "encoder.bias": initialise.zeros([features]),
  "decoder.weight": initialise.uniform(derive(key(1), 1), [features, width], width ** -0.5),
  "decoder.bias": initialise.zeros([width]),
}
await comparePair(device, {
  name: `tensor-sae ${width}→${features} top-${k} batch=${batch}`,
  peer: "_torch_sae.py",
  variants: [
    [String(k), "dense"],
    [String(k), "bag"],
  ],
  step: adamStep((p, { x }) => {
    const scores = tf.add(matMul(tf.sub(x!, p["decoder.bias"]!), p["encoder.weight"]!, false, true), p["encoder.bias"]!)
    const { values, indices } = tf.topk(scores, k, false)
    const rows = tf.reshape(tf.gather(p["decoder.weight"]!, tf.reshape(indices, [batch * k])), [batch, k, width])
    const y = tf.reshape(matMul(tf.reshape(tf.relu(values), [batch, 1, k]), rows), [batch, width])
    const error = tf.sub(tf.add(y, p["decoder.bias"]!), x!)
    return tf.mean(tf.sum(tf.mul(error, error), 1)) as tf.Scalar
  }),
  start: { ...withPrefix("params", params), ...adamState(params) },
  batch: {
    x: { data: fillNormal(key(3), new Float32Array(batch * width)), shape: [batch, width], dtype: "float32" },
    rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
  },
  rounds: 3,
  stepsPerCall: 3,
})
