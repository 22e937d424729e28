/** Training steps of the vision transformer on the cpu device beside the same model in PyTorch; see _torch_pair.ts. */
import { openDevice } from "@exp/tensor"
import { comparePair } from "./_torch_pair.ts"
import { vitCase } from "./_vit-step.ts"

const device = await openDevice("cpu")
for (const [width, batch] of [
  [64, 64],
  [64, 256],
  [192, 64],
  [192, 256],
] as const)
  await comparePair(device, {
    name: `tensor-vit d=${width} batch=${batch}`,
    peer: "_torch_vit.py",
    variants: [[String(width)]],
    ...vitCase(width, batch),
  })
