import { readFileSync, writeFileSync } from "node:fs"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import { type HostTensors, openDevice, type Step, type Tensors } from "../src/tensor.ts"
import { deviceTolerance } from "./device-tolerance.ts"
import { difference, floats, label, list, loss, stepOf } from "./op-step.ts"
import { opCases, real, whole } from "./op-table.ts"

const devices = { js: await openDevice("js"), wasm: await openDevice("wasm"), cpu: await openDevice("cpu") }

async function run(device: keyof typeof devices, step: Step, inputs: HostTensors): Promise<HostTensors> {
  const program = devices[device].compile(step)
  try {
    program.load({})
    return await program.run(inputs, { seed: 0, step: 0 })
  } finally {
    program.dispose()
  }
}

describe.each(opCases.map((c) => [label(c), c] as const))("%s", (_, c) => {
  it("has the values and gradients of the reference on every device", async () => {
    const reference = await run("js", stepOf(c), c.inputs)
    for (const device of ["wasm", "cpu"] as const) {
      const got = await run(device, stepOf(c), c.inputs)
      for (const [name, tensor] of Object.entries(reference))
        expect(
          difference(tensor, got[name]!),
          `${name} on ${device}: ${tensor.data} against ${got[name]!.data}`,
        ).toBeLessThanOrEqual(c.tolerance ?? 2e-6)
    }
  })

  if (floats(c).length > 0)
    it("has the gradient of finite differences", async () => {
      const exact = await run("js", stepOf(c), c.inputs)
      const h = 5e-3
      const at = async (inputs: HostTensors) => {
        const out = await run("js", (state, batch) => ({ state, metrics: { l: loss(list(c.f(batch))) } }), inputs)
        return out["l"]!.data[0]!
      }
      for (const name of floats(c)) {
        const { data, shape } = c.inputs[name]!
        for (let i = 0; i < data.length; i += Math.max(1, data.length >> 4)) {
          const moved = (delta: number): HostTensors => {
            const copy = data.slice() as Float32Array
            copy[i] = copy[i]! + delta
            return { ...c.inputs, [name]: { data: copy, shape, dtype: "float32" } }
          }
          const slope = ((await at(moved(h))) - (await at(moved(-h)))) / (2 * h)
          const d = exact[`d${name}`]!.data[i]!
          expect(Math.abs(d - slope) / Math.max(1, Math.abs(d)), `d${name}[${i}]: ${d} against ${slope}`).toBeLessThan(
            c.slope ?? 2e-2,
          )
        }
      }
    })
})

const special = Float32Array.of(Number.NaN, Infinity, -Infinity, 0, -0, 1e-38, 1e30, -1e30, 1.5, -2.5)
/** Where devices differ from the reference on special values, by operation. */
const exceptions: Record<string, readonly number[]> = {
  sign: [0],
  step: [0],
}

describe("special values", () => {
  const unary: Record<string, (x: tf.Tensor) => tf.Tensor> = {
    abs: tf.abs,
    ceil: tf.ceil,
    clipByValue: (x) => tf.clipByValue(x, -1, 1),
    exp: tf.exp,
    floor: tf.floor,
    isFinite: tf.isFinite,
    isInf: tf.isInf,
    isNaN: tf.isNaN,
    log: tf.log,
    neg: tf.neg,
    reciprocal: tf.reciprocal,
    relu: tf.relu,
    relu6: tf.relu6,
    rsqrt: tf.rsqrt,
    sigmoid: tf.sigmoid,
    sign: tf.sign,
    sqrt: tf.sqrt,
    square: tf.square,
    step: (x) => tf.step(x),
    tanh: tf.tanh,
    erf: tf.erf,
    log1p: tf.log1p,
    softplus: tf.softplus,
    greater: (x) => tf.greater(x, 0),
    equal: (x) => tf.equal(x, x),
    where: (x) => tf.where(tf.isNaN(x), tf.zerosLike(x), x),
    maximum: (x) => tf.maximum(x, 1),
    minimum: (x) => tf.minimum(x, 1),
    add: (x) => tf.add(x, 1),
    div: (x) => tf.div(1, x),
  }
  it.each(Object.entries(unary))("%s treats NaN and infinities on cpu as the reference does", async (name, f) => {
    const step: Step = (state, { x }) => ({ state, metrics: { y: tf.cast(f(x!), "float32") } })
    const inputs: HostTensors = { x: { data: special, shape: [special.length], dtype: "float32" } }
    const [a, b] = [await run("js", step, inputs), await run("cpu", step, inputs)]
    special.forEach((x, i) => {
      if (exceptions[name]?.includes(i)) return
      const [p, q] = [a["y"]!.data[i]!, b["y"]!.data[i]!]
      const close = Object.is(p, q) || p === q || Math.abs(p - q) <= 1e-5 * Math.max(1, Math.abs(p))
      expect(close, `${name}(${x}): ${p} against ${q}`).toBe(true)
    })
  })
})

describe("empty tensors", () => {
  const empty: HostTensors = {
    x: { data: new Float32Array(0), shape: [0, 3], dtype: "float32" },
    w: real([3, 2]),
    i: { ...whole([0], 1), data: new Int32Array(0) },
  }
  const cases: Record<string, (t: Tensors) => tf.Tensor> = {
    relu: ({ x }) => tf.relu(x!),
    add: ({ x }) => tf.add(x!, 1),
    sum: ({ x }) => tf.sum(x!),
    "sum of axis 0": ({ x }) => tf.sum(x!, 0),
    "sum of axis 1": ({ x }) => tf.sum(x!, 1),
    concat: ({ x, w }) => tf.concat([x!, tf.transpose(w!)], 0),
    reshape: ({ x }) => tf.reshape(x!, [3, 0]),
    matMul: ({ x, w }) => tf.matMul(x!, w!),
    gather: ({ w, i }) => tf.gather(w!, i as tf.Tensor1D),
    transpose: ({ x }) => tf.transpose(x!),
    slice: ({ w }) => tf.slice(w!, [1, 0], [0, 2]),
  }
  it.each(Object.entries(cases))("%s", async (_, f) => {
    const step: Step = (state, batch) => ({ state, metrics: { y: f(batch) } })
    const [a, b] = [await run("js", step, empty), await run("cpu", step, empty)]
    expect(difference(a["y"]!, b["y"]!)).toBe(0)
  })
})

it("OPS.md lists every operation with its tolerance", () => {
  const rows = new Map<string, { notes: string[]; tolerance: number; gpu: number; gradient: boolean }>()
  for (const c of opCases) {
    const row = rows.get(c.op) ?? { notes: [], tolerance: 0, gpu: 0, gradient: false }
    if (c.note) row.notes.push(c.note)
    row.tolerance = Math.max(row.tolerance, c.tolerance ?? 2e-6)
    row.gpu = Math.max(row.gpu, deviceTolerance(c, "webgpu"))
    row.gradient ||= floats(c).length > 0
    rows.set(c.op, row)
  }
  const lines = [...rows.entries()]
    .sort(([a], [b]) => a.localeCompare(b, "en"))
    .map(
      ([op, r]) =>
        `| ${op} | yes | yes | yes | yes | yes | ${r.gradient ? "yes" : "–"} | ${r.tolerance.toExponential(0)} | ${r.gpu.toExponential(0)} | ${r.notes.join("; ")} |`,
    )
  const text = `# Operations

Generated and held by \`test/op-suite.test.ts\` (\`UPDATE_OPS=1 npx vitest run packages/tensor/test/op-suite.test.ts\` rewrites it).
Each is run, value and gradient, on \`js\` (the reference), \`wasm\` and \`cpu\` (compiled); by \`test/webgpu.test.ts\` on
\`webgpu\` (compiled) and \`webgpu-eager\`, where an adapter or a software Vulkan driver is: some in every test run, all with
\`npm run test:devices\`. Tolerance: largest difference to the reference, relative to max(1, |value|); the second column is that
of both WebGPU devices, whose language allows trigonometric functions an absolute error of 2⁻¹¹. Gradients are also held
against central differences. \`cuda\` has never been run.

Differences that are known: sign(NaN) is 0 on \`js\` and not on \`cpu\`, step(NaN) is NaN on \`js\` and 0 on \`cpu\`; casts of NaN and
infinities to int32, the order of NaN in topk and argMax, and max over NaN are undefined. On WebGPU nothing is promised about
NaN and infinities (its language lets compilers assume that neither occurs), except that isNaN, isInf and isFinite see them: on
\`webgpu\` these run on the CPU, as do mod and the cast of topk's indices. On \`cpu\` a product with the literal
constant 0 is 0 even where the other factor is not finite.

| operation | js | wasm | cpu | webgpu | webgpu-eager | gradient | tolerance | on WebGPU | tried with |
|---|---|---|---|---|---|---|---|---|---|
${lines.join("\n")}
`
  const file = new URL("../OPS.md", import.meta.url)
  if (process.env["UPDATE_OPS"]) writeFileSync(file, text)
  // A formatter may align the columns.
  const plain = (t: string) => t.replaceAll(/ *\| */g, "|").replaceAll(/-{3,}/g, "---")
  expect(plain(readFileSync(file, "utf8"))).toBe(plain(text))
})
