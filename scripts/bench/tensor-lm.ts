/**
 * Training steps of a decoder-only language model (vocabulary 4,096, context 128, tied head) on the cpu device beside
 * the same model in PyTorch; see _torch_pair.ts.
 */
import { initLanguageModel, type LanguageModelConfig, languageModel, withPrefix } from "@exp/nn"
import { key } from "@exp/random"
import { openDevice, softmaxCrossEntropy } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { comparePair } from "./_torch_pair.ts"
import { adamState, adamStep } from "./_train-step.ts"

const device = await openDevice("cpu")
const vocabulary = 4096
const context = 128
for (const [width, batch] of [
  [128, 8],
  [256, 8],
] as const) {
  const config: LanguageModelConfig = {
    vocabulary,
    width,
    depth: 4,
    heads: width / 32,
    mlpWidth: 4 * width,
    context,
  }
  const params = initLanguageModel(config, key(1))
  const text = Int32Array.from({ length: batch * (context + 1) }, (_, i) => (i * 2654435761) % vocabulary)
  const rows = (shift: number) => ({
    data: Int32Array.from(
      { length: batch * context },
      (_, i) => text[Math.floor(i / context) * (context + 1) + (i % context) + shift]!,
    ),
    shape: [batch, context],
    dtype: "int32" as const,
  })
  await comparePair(device, {
    name: `tensor-lm d=${width} batch=${batch}×${context}`,
    peer: "_torch_lm.py",
    variants: [[String(config.heads), String(config.depth)]],
    step: adamStep((p, { tokens, targets }) => {
      const scores = languageModel(p, tokens as tf.Tensor2D, config)
      return tf.mean(softmaxCrossEntropy(tf.reshape(scores, [-1, vocabulary]), tf.reshape(targets!, [-1]))) as tf.Scalar
    }),
    start: { ...withPrefix("params", params), ...adamState(params) },
    batch: {
      tokens: rows(0),
      targets: rows(1),
      rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
    },
    stepsPerCall: 5,
  })
}
