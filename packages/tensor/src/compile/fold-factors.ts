/**
 * Constant factors move into matrix products, whose `alpha` and `beta` cost nothing: a product times a constant, and a
 * tensor times a constant of which only products are made.
 */
import { type Attribute, float, type Node, reachable, sameShape, type Value } from "./graph.ts"
import { type Replacement, type Replacements, retarget } from "./retarget.ts"
import type { TracedStep } from "./trace-step.ts"

const products = new Set(["Gemm", "MatMul", "FusedMatMul"])

/** Where a value is read: the node, and which of its operands it is. */
interface Use {
  readonly node: Node
  readonly operand: number
}

/** The tensor and the factor of a product with a constant that changes no shape. */
function scaled(node: Node): { readonly tensor: Value; readonly factor: number } | undefined {
  if (node.op !== "Mul" || node.outputs[0]!.dtype !== "float32") return undefined
  for (const [constant, tensor] of [
    [node.inputs[0]!, node.inputs[1]!],
    [node.inputs[1]!, node.inputs[0]!],
  ] as const) {
    const { data } = constant.node
    const factor = data?.length === 1 ? Number(data[0]) : 0
    if (factor !== 0 && Number.isFinite(factor) && sameShape(tensor.shape, node.outputs[0]!.shape))
      return { tensor, factor }
  }
  return undefined
}

/** Operators that move elements and compute nothing. */
const passes = (node: Node): boolean =>
  node.op === "Transpose" || (node.op === "Reshape" && node.inputs[1]!.node.op === "Constant")

/** The same step with fewer operators; results differ in rounding only. */
export function foldFactors(step: TracedStep): TracedStep {
  const ends = [...Object.values(step.next), ...Object.values(step.metrics)]
  const nodes = reachable(ends)
  const uses = new Map<Value, Use[]>()
  const kept = new Set(ends)
  for (const node of nodes)
    node.inputs.forEach((value, operand) => {
      if (!value) return
      const known = uses.get(value)
      if (known) known.push({ node, operand })
      else uses.set(value, [{ node, operand }])
    })

  /** Whether only products read the value, and its factor may move into them. */
  const readByProducts = (value: Value): boolean =>
    !kept.has(value) &&
    (uses.get(value) ?? []).every(({ node, operand }) =>
      products.has(node.op)
        ? operand < 2 && node.outputs[0]!.dtype === "float32"
        : passes(node) && operand === 0 && readByProducts(node.outputs[0]!),
    )
  /** The product that the value is, and that nothing else reads. */
  const productAlone = (value: Value): Node | undefined => {
    if (kept.has(value) || uses.get(value)!.length !== 1) return undefined
    if (products.has(value.node.op)) return value.node
    return passes(value.node) ? productAlone(value.node.inputs[0]!) : undefined
  }

  /** Factors of whole products, and factors that their operands lost. */
  const whole = new Map<Node, number>()
  const lost = new Map<Value, number>()
  const gone = new Set<Node>()
  for (const node of nodes) {
    const found = scaled(node)
    if (!found) {
      if (passes(node) && lost.has(node.inputs[0]!)) lost.set(node.outputs[0]!, lost.get(node.inputs[0]!)!)
      continue
    }
    const { tensor, factor } = found
    const product = productAlone(tensor)
    if (product) {
      gone.add(node)
      whole.set(product, factor)
    } else if (readByProducts(node.outputs[0]!)) {
      gone.add(node)
      lost.set(node.outputs[0]!, factor)
    }
  }
  if (gone.size === 0) return step

  const product: Replacement = (b, inputs, node) => {
    const factor = whole.get(node) ?? 1
    const operands = (lost.get(node.inputs[0]!) ?? 1) * (lost.get(node.inputs[1]!) ?? 1)
    const number = (name: string) => (node.attributes[name]?.value as number | undefined) ?? 1
    if (factor * operands === 1) return b.graph.apply(node.op, inputs, node.outputs, node.attributes, node.domain)
    const attributes: Record<string, Attribute> = {
      ...node.attributes,
      alpha: float(number("alpha") * factor * operands),
    }
    if (node.op === "MatMul") return b.graph.apply("FusedMatMul", inputs, node.outputs, attributes, "com.microsoft")
    if (inputs[2]) attributes["beta"] = float(number("beta") * factor)
    return b.graph.apply(node.op, inputs, node.outputs, attributes, node.domain)
  }
  const replacements: Replacements = {
    Mul: (_, inputs, node) => {
      if (!gone.has(node)) return undefined
      const { tensor } = scaled(node)!
      return [inputs[node.inputs.indexOf(tensor)]!]
    },
    Gemm: product,
    MatMul: product,
    FusedMatMul: product,
  }
  return retarget(step, replacements)
}
