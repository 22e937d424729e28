import { derive, fillNormal, key } from "@exp/random"
import { type HostTensors, makeRandomness, openDevice, softmaxCrossEntropy, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  countParameters,
  initHead,
  initVit,
  linearMaps,
  namedVit,
  patchify,
  pick,
  stochasticDepth,
  tinyVit,
  type VitConfig,
  vit,
  vitShapes,
} from "../src/nn.ts"

const backends = [
  ["js", "cpu"],
  ["wasm", "wasm"],
] as const
for (const [device] of backends) await openDevice(device)

const shapes = (config: VitConfig) =>
  Object.fromEntries(Object.entries(vitShapes(config)).map(([name, shape]) => [name, { shape }]))
const count = (config: VitConfig, keep: (name: string) => boolean) => countParameters(pick(shapes(config), keep))

describe("parameter counts of the test bed", () => {
  const config = tinyVit(10)
  const tunable = new Set(linearMaps(config).map((map) => `${map.name}.weight`))
  it.each([
    ["patch embedding", 3200, (name: string) => name.startsWith("patch.")],
    ["class token", 64, (name: string) => name === "cls"],
    ["positions", 1088, (name: string) => name === "positions"],
    ["tunable matrices", 131_072, (name: string) => tunable.has(name)],
    ["tunable matrices of a block", 32_768, (name: string) => tunable.has(name) && name.startsWith("blocks.2.")],
    ["linear biases of a block", 448, (name: string) => /^blocks\.2\.(attention|mlp).*bias$/.test(name)],
    ["layer norms of a block", 256, (name: string) => name.startsWith("blocks.2.norm")],
    ["final layer norm", 128, (name: string) => name.startsWith("norm.")],
    ["everything but the head", 138_368, (name: string) => !name.startsWith("head.")],
    ["head", 650, (name: string) => name.startsWith("head.")],
    [
      "all biases, of layer norms too, without the head",
      2432,
      (name: string) => name.endsWith("bias") && !name.startsWith("head."),
    ],
  ])("%s: %i", (_, expected, keep) => {
    expect(count(config, keep)).toBe(expected)
  })

  it("the large models' tunable matrices have 84.9, 302 and 629 million entries", () => {
    const millions = (["base", "large", "huge"] as const).map(
      (name) => linearMaps(namedVit(name)).reduce((sum, map) => sum + map.in * map.out, 0) / 1e6,
    )
    expect(millions.map((m) => Math.round(m * 10) / 10)).toEqual([84.9, 302, 629.1])
  })
})

describe("initial parameters", () => {
  const config = tinyVit(10)
  const params = initVit(config, key(3, "vit"))

  it("are truncated normal with σ 0.02, cut at 2σ; scales are 1 and biases 0", () => {
    for (const [name, { data }] of Object.entries(params)) {
      if (name.endsWith("scale")) expect(data.every((v) => v === 1)).toBe(true)
      else if (name.endsWith("bias")) expect(data.every((v) => v === 0)).toBe(true)
      else expect(Math.max(...data.map(Math.abs))).toBeLessThanOrEqual(Math.fround(0.04))
    }
    const { data } = params["blocks.0.mlp.fc1.weight"]!
    const deviation = Math.sqrt([...data].reduce((sum, v) => sum + v * v, 0) / data.length)
    // A normal distribution cut at ±2σ has 0.8796 of its standard deviation.
    expect(deviation / 0.02).toBeCloseTo(0.8796, 1)
  })

  it("depend on the key and the name alone", () => {
    const deeper = initVit(tinyVit(40, 8), key(3, "vit"))
    expect(deeper["blocks.3.attention.key.weight"]).toEqual(params["blocks.3.attention.key.weight"])
    expect(params["blocks.0.attention.key.weight"]).not.toEqual(params["blocks.1.attention.key.weight"])
    expect(initVit(config, key(4, "vit"))["cls"]).not.toEqual(params["cls"])
    expect(initHead(config, key(3, "vit"))["head.weight"]).toEqual(params["head.weight"])
  })
})

/** The same network in plain double precision, one image at a time. */
function reference(params: HostTensors, image: Float32Array, config: VitConfig): number[] {
  type Matrix = number[][]
  const { width: d, heads, depth, patchSize: size, imageSize, epsilon = 1e-6 } = config
  const vector = (name: string) => [...params[name]!.data]
  const matrix = (name: string): Matrix => {
    const { data, shape } = params[name]!
    return Array.from({ length: shape[0]! }, (_, i) => [...data.slice(i * shape[1]!, (i + 1) * shape[1]!)])
  }
  const dense = (x: Matrix, name: string): Matrix => {
    const [w, b] = [matrix(`${name}.weight`), vector(`${name}.bias`)]
    return x.map((row) => b.map((bias, j) => row.reduce((sum, v, i) => sum + v * w[i]![j]!, bias)))
  }
  const norm = (x: Matrix, name: string): Matrix => {
    const [scale, bias] = [vector(`${name}.scale`), vector(`${name}.bias`)]
    return x.map((row) => {
      const mean = row.reduce((a, b) => a + b, 0) / d
      const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / d
      return row.map((v, j) => ((v - mean) / Math.sqrt(variance + epsilon)) * scale[j]! + bias[j]!)
    })
  }
  const plus = (a: Matrix, b: Matrix): Matrix => a.map((row, i) => row.map((v, j) => v + b[i]![j]!))
  // The normal distribution by numerical integration, independent of any formula for erf.
  const gelu = (x: number) => {
    const n = 400
    let sum = 0
    for (let i = 0; i <= n; i++) {
      const t = (x * i) / n
      sum += (i === 0 || i === n ? 1 : i % 2 ? 4 : 2) * Math.exp((-t * t) / 2)
    }
    return x * (0.5 + ((x / n / 3) * sum) / Math.sqrt(2 * Math.PI))
  }
  const patches: Matrix = []
  for (let r = 0; r < imageSize; r += size)
    for (let c = 0; c < imageSize; c += size) {
      const patch: number[] = []
      for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) patch.push(image[(r + i) * imageSize + c + j]!)
      patches.push(patch)
    }
  let x = plus([vector("cls"), ...dense(patches, "patch")], matrix("positions"))
  const width = d / heads
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}`
    const h = norm(x, `${at}.norm1`)
    const [q, k, v] = ["query", "key", "value"].map((name) => dense(h, `${at}.attention.${name}`)) as [
      Matrix,
      Matrix,
      Matrix,
    ]
    const mixed = x.map((_, i) =>
      Array.from({ length: d }, (_, j) => {
        const from = Math.floor(j / width) * width
        const scores = k.map((row) => {
          let dot = 0
          for (let e = from; e < from + width; e++) dot += q[i]![e]! * row[e]!
          return Math.exp(dot / Math.sqrt(width))
        })
        const total = scores.reduce((a, b) => a + b, 0)
        return scores.reduce((sum, s, t) => sum + (s / total) * v[t]![j]!, 0)
      }),
    )
    x = plus(x, dense(mixed, `${at}.attention.output`))
    const hidden = dense(norm(x, `${at}.norm2`), `${at}.mlp.fc1`).map((row) => row.map(gelu))
    x = plus(x, dense(hidden, `${at}.mlp.fc2`))
  }
  return dense(norm([x[0]!], "norm"), "head")[0]!
}

describe.each(backends)("vit on %s", (_, backend) => {
  const config: VitConfig = {
    imageSize: 8,
    channels: 1,
    patchSize: 4,
    width: 8,
    depth: 2,
    heads: 2,
    mlpWidth: 12,
    classes: 5,
  }
  // Larger weights and no zeros, so that every parameter matters.
  const params: HostTensors = Object.fromEntries(
    Object.entries(vitShapes(config)).map(([name, shape]) => {
      const data = fillNormal(key(1, name), new Float32Array(shape.reduce((a, b) => a * b, 1)))
      const centre = name.endsWith("scale") ? 1 : 0
      return [name, { data: data.map((v) => centre + 0.4 * v), shape, dtype: "float32" }]
    }),
  )
  const images = fillNormal(key(2), new Float32Array(3 * 64))
  const upload = () =>
    Object.fromEntries(Object.entries(params).map(([name, t]) => [name, tf.tensor(t.data, [...t.shape], "float32")]))

  it("equals the plain network in double precision", async () => {
    await tf.setBackend(backend)
    const before = tf.memory().numTensors
    const logits = tf.tidy(() => vit(upload(), tf.tensor4d(images, [3, 8, 8, 1]), config).arraySync())
    expect(tf.memory().numTensors).toBe(before)
    for (let i = 0; i < 3; i++) {
      const expected = reference(params, images.slice(i * 64, i * 64 + 64), config)
      for (let j = 0; j < 5; j++) expect(Math.abs(logits[i]![j]! - expected[j]!)).toBeLessThan(2e-5)
    }
  })

  it("has a gradient for every parameter, equal to finite differences", async () => {
    await tf.setBackend(backend)
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const loss = (p: Record<string, tf.Tensor>) =>
        tf.mean(softmaxCrossEntropy(vit(p, tf.tensor4d(images, [3, 8, 8, 1]), config), tf.tensor1d([4, 0, 2], "int32")))
      const tensors = upload()
      const { gradients } = valueAndGradients(loss, tensors)
      expect(Object.keys(gradients).sort()).toEqual(Object.keys(params).sort())
      for (const [name, tensor] of Object.entries(tensors)) {
        expect(gradients[name]!.shape).toEqual(tensor.shape)
        const at = 3 % tensor.size
        const moved = (h: number) => {
          const data = Float32Array.from(tensor.dataSync())
          data[at]! += h
          return loss({ ...tensors, [name]: tf.tensor(data, tensor.shape) }).dataSync()[0]!
        }
        const difference = (moved(5e-3) - moved(-5e-3)) / 1e-2
        const gradient = gradients[name]!.dataSync()[at]!
        expect(Math.abs(difference - gradient), `${name}: ${difference}, ${gradient}`).toBeLessThan(
          1e-3 + 2e-2 * Math.abs(difference),
        )
      }
    })
    expect(tf.memory().numTensors).toBe(before)
  })

  it("calls the hooks where they are promised", async () => {
    await tf.setBackend(backend)
    tf.tidy(() => {
      const x = tf.tensor4d(images, [3, 8, 8, 1])
      const seen: string[] = []
      const hooked = vit(upload(), x, config, {
        linear: (name, input, y) => {
          const map = linearMaps(config).find((m) => m.name === name)!
          expect(input.shape).toEqual([3, 5, map.in])
          expect(y.shape).toEqual([3, 5, map.out])
          seen.push(name)
          return y
        },
        afterMlp: (block, z) => {
          seen.push(`afterMlp ${block}`)
          return z
        },
      })
      const perBlock = (b: number) => [
        ...linearMaps(config)
          .filter((m) => m.block === b)
          .map((m) => m.name),
        `afterMlp ${b}`,
      ]
      expect(seen).toEqual([...perBlock(0), ...perBlock(1)])
      expect([...hooked.dataSync()]).toEqual([...vit(upload(), x, config).dataSync()])
      const dropped = vit(upload(), x, config, { residual: stochasticDepth(0.9, 2, makeRandomness(0, 0)) })
      expect([...dropped.dataSync()]).not.toEqual([...hooked.dataSync()])
    })
  })

  it("cuts patches in row-major order and names a missing parameter", async () => {
    await tf.setBackend(backend)
    tf.tidy(() => {
      const image = tf.reshape(tf.range(0, 32), [1, 4, 4, 2]) as tf.Tensor4D
      expect(patchify(image, 2).arraySync()[0]![1]).toEqual([4, 5, 6, 7, 12, 13, 14, 15])
      const { "blocks.1.norm2.scale": _, ...rest } = upload()
      expect(() => vit(rest, tf.tensor4d(images, [3, 8, 8, 1]), config)).toThrow("blocks.1.norm2.scale")
    })
  })
})

it("a layer norm inside the linear maps that follow it changes neither scores nor gradients", async () => {
  // So few columns, and so many rows, that blocks take the norms into the maps; a hook that changes nothing forbids it.
  const config: VitConfig = { ...tinyVit(3, 2), width: 8, heads: 2, mlpWidth: 12 }
  const batch = 8
  const images: HostTensors = {
    images: {
      data: fillNormal(key(5), new Float32Array(batch * 784)),
      shape: [batch, 28, 28, 1],
      dtype: "float32",
    },
  }
  const params = Object.fromEntries(
    Object.entries(initVit(config, key(3))).map(([name, tensor]) => [
      name,
      // Scales and shifts that are not one and zero.
      { ...tensor, data: fillNormal(derive(key(4), name), new Float32Array(tensor.data.length)) },
    ]),
  )
  const device = await openDevice("cpu")
  const run = async (hooks: Parameters<typeof vit>[3]) => {
    const program = device.compile((state, x) => {
      const { value, gradients } = valueAndGradients(
        (p) => tf.mean(tf.square(vit(p, x["images"] as tf.Tensor4D, config, hooks))) as tf.Scalar,
        state,
      )
      return { state, metrics: { ...gradients, value } }
    })
    program.load(params)
    const metrics = await program.run(images, { seed: 0, step: 0 })
    const { nodes } = program.graph!()!.cost
    program.dispose()
    return { metrics, nodes }
  }
  const absorbed = await run({})
  const plain = await run({ linear: (_, __, y) => y })
  expect(absorbed.nodes).not.toBe(plain.nodes)
  expect(Object.keys(absorbed.metrics).sort()).toEqual(Object.keys(plain.metrics).sort())
  for (const [name, { data }] of Object.entries(plain.metrics)) {
    const largest = Math.max(1e-2, ...Array.from(data, (x) => Math.abs(Number(x))))
    data.forEach((x, i) => {
      expect(Math.abs(Number(absorbed.metrics[name]!.data[i]) - Number(x)), `${name}[${i}]`).toBeLessThan(
        1e-4 * largest,
      )
    })
  }
  device.dispose()
})
