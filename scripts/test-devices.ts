/**
 * The whole operation suite on every device that this machine has, GPUs included: `npm run test:devices`. Without a GPU the
 * WebGPU devices run on a software Vulkan driver where one is installed (Chromium's), which takes some minutes.
 */
import { spawnSync } from "node:child_process"

const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "packages/tensor", "test/webgpu"],
  {
    stdio: "inherit",
    env: { ...process.env, EXP_TEST_ALL_OPS: "1" },
  },
)
process.exit(status ?? 1)
