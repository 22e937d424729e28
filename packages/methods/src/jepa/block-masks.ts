/**
 * The block masks of I-JEPA: which tokens the context encoder sees, and which blocks are predicted.
 *
 * Source: Assran et al., arXiv 2301.08243, as its reference code samples them (scale and aspect of a block share one
 * uniform number; corners exclude the last offset). Everything is a function of (key, step, image): there is no generator.
 */
import { derive, integer, type Key, permutation, uniform } from "@exp/random"

/** Token grid, in tokens. */
export interface TokenGrid {
  readonly height: number
  readonly width: number
}

/** Height and width of a block, in tokens. */
export interface BlockSize {
  readonly height: number
  readonly width: number
}

/** How masks are drawn. */
export interface BlockMaskOptions {
  /** Target blocks per image, M. */
  readonly targets: number
  /** Range of the share of the grid that a target block covers. */
  readonly targetScale: readonly [number, number]
  /** Range of the height-to-width ratio of a target block. */
  readonly targetAspect: readonly [number, number]
  /** Range of the share of the grid that the context block covers. */
  readonly contextScale: readonly [number, number]
  /** A block counts only if it keeps MORE tokens than this. */
  readonly minKeep: number
  /** Whether context tokens may lie in target blocks. */
  readonly allowOverlap: boolean
  /**
   * Which tokens stay when the context lists of a batch are cut to the shortest: `raster`, the first, as the reference,
   * which favours the top of the image; `shuffle`, random ones. Default `raster`.
   */
  readonly align?: "raster" | "shuffle"
}

/** The official settings. */
export const officialBlockMasks: BlockMaskOptions = {
  targets: 4,
  targetScale: [0.15, 0.2],
  targetAspect: [0.75, 1.5],
  contextScale: [0.85, 1],
  minKeep: 10,
  allowOverlap: false,
}

/** Mask settings that no draw can satisfy. */
export class ImpossibleBlockMasks extends Error {
  readonly _tag = "ImpossibleBlockMasks"
}

/** Rounds half to even, as the reference does. */
const roundHalfEven = (x: number): number => {
  const low = Math.floor(x)
  if (x - low !== 0.5) return Math.round(x)
  return low % 2 === 0 ? low : low + 1
}

/**
 * Size of a block for one uniform number u: area n = ⌊gh·gw·s⌋ with s and the aspect a both at u of their ranges,
 * h = round(√(n·a)), w = round(√(n/a)), each brought below the grid's side.
 */
export function blockSize(
  grid: TokenGrid,
  u: number,
  scale: readonly [number, number],
  aspect: readonly [number, number],
): BlockSize {
  const area = Math.floor(grid.height * grid.width * (scale[0] + u * (scale[1] - scale[0])))
  const ratio = aspect[0] + u * (aspect[1] - aspect[0])
  let height = roundHalfEven(Math.sqrt(area * ratio))
  let width = roundHalfEven(Math.sqrt(area / ratio))
  while (height >= grid.height) height--
  while (width >= grid.width) width--
  return { height, width }
}

/**
 * Checks that target blocks always hold more than `minKeep` tokens: the sampler would loop for ever otherwise.
 *
 * @throws ImpossibleBlockMasks with the smallest block and what to change
 */
export function checkBlockMasks(grid: TokenGrid, options: BlockMaskOptions): void {
  let smallest: BlockSize | undefined
  for (let i = 0; i <= 1000; i++) {
    const size = blockSize(grid, i / 1000, options.targetScale, options.targetAspect)
    if (smallest === undefined || size.height * size.width < smallest.height * smallest.width) smallest = size
  }
  const tokens = smallest!.height * smallest!.width
  if (tokens <= options.minKeep) {
    throw new ImpossibleBlockMasks(
      `on a ${grid.height}×${grid.width} grid target blocks can have only ${tokens} tokens (${smallest!.height}×${smallest!.width}), which is not more than minKeep ${options.minKeep}; set minKeep below ${tokens}`,
    )
  }
}

/** Masks of one batch. Index lists are in raster order, but for contexts that were shuffled. */
export interface BlockMasks {
  /** Tokens of each context, the same number for every image. */
  readonly contextTokens: number
  /** Tokens of each target block. */
  readonly targetTokens: number
  /** [batch, contextTokens] token indices. */
  readonly context: Int32Array
  /** [targets, batch, targetTokens] token indices, mask-major: all images of block 1 first. */
  readonly target: Int32Array
}

const cornerOf = (grid: TokenGrid, size: BlockSize, key: Key) => ({
  top: integer(key, grid.height - size.height, 0),
  left: integer(key, grid.width - size.width, 1),
})

const tokensOf = (grid: TokenGrid, size: BlockSize, corner: { top: number; left: number }): number[] => {
  const tokens: number[] = []
  for (let r = 0; r < size.height; r++) {
    for (let c = 0; c < size.width; c++) tokens.push((corner.top + r) * grid.width + corner.left + c)
  }
  return tokens
}

/**
 * Draws the masks of a batch at a step. Block sizes depend on the step alone and are shared by the batch; corners are
 * drawn per image. Context lists are cut to the shortest in the batch, keeping their first indices (after a shuffle of
 * each list where `align` says so).
 *
 * After each 20 refused draws of a context, one target block fewer (the last ones first) is taken out of it.
 *
 * @throws ImpossibleBlockMasks for settings that {@link checkBlockMasks} refuses
 */
export function drawBlockMasks(
  grid: TokenGrid,
  batch: number,
  key: Key,
  step: number,
  options: BlockMaskOptions = officialBlockMasks,
): BlockMasks {
  const sizes = derive(key, "size", step)
  const targetSize = blockSize(grid, uniform(sizes, 0), options.targetScale, options.targetAspect)
  const contextSize = blockSize(grid, uniform(sizes, 1), options.contextScale, [1, 1])
  const targetTokens = targetSize.height * targetSize.width
  if (targetTokens <= options.minKeep) checkBlockMasks(grid, options)

  const target = new Int32Array(options.targets * batch * targetTokens)
  const contexts: number[][] = []
  for (let image = 0; image < batch; image++) {
    const blocks: number[][] = []
    for (let m = 0; m < options.targets; m++) {
      const tokens = tokensOf(grid, targetSize, cornerOf(grid, targetSize, derive(key, "target", step, image, m)))
      blocks.push(tokens)
      target.set(tokens, (m * batch + image) * targetTokens)
    }
    for (let attempt = 0; ; attempt++) {
      const corner = cornerOf(grid, contextSize, derive(key, "context", step, image, attempt))
      const removed = options.allowOverlap ? 0 : Math.max(0, options.targets - Math.floor(attempt / 20))
      const hidden = new Set(blocks.slice(0, removed).flat())
      const kept = tokensOf(grid, contextSize, corner).filter((token) => !hidden.has(token))
      if (kept.length > options.minKeep) {
        const order = options.align === "shuffle" && permutation(derive(key, "align", step, image), kept.length)
        contexts.push(order ? Array.from(order, (i) => kept[i]!) : kept)
        break
      }
      if (removed === 0 && attempt > 20 * (options.targets + 1)) {
        throw new ImpossibleBlockMasks(
          `a context of ${contextSize.height}×${contextSize.width} tokens cannot keep more than minKeep ${options.minKeep}`,
        )
      }
    }
  }
  const contextTokens = Math.min(...contexts.map((tokens) => tokens.length))
  const context = new Int32Array(batch * contextTokens)
  for (const [image, tokens] of contexts.entries()) context.set(tokens.slice(0, contextTokens), image * contextTokens)
  return { contextTokens, targetTokens, context, target }
}
