/** Where the tests of WebGPU find a GPU: a software Vulkan driver, such as the one that comes with Chromium. */
import { existsSync } from "node:fs"
import { join } from "node:path"

const folders = [
  "/usr/lib/chromium",
  "/usr/lib/chromium-browser",
  "/usr/lib64/chromium-browser",
  "/usr/lib64/chromium",
  "/opt/google/chrome",
]

/**
 * The environment of a process whose WebGPU runs on a software driver. With `EXP_TEST_GPU=1`, or a Vulkan driver already
 * named by the environment, that of this process: the tests then run on what is there.
 */
export function vulkanEnvironment(): NodeJS.ProcessEnv {
  const { env } = process
  if (env["EXP_TEST_GPU"] || env["VK_ICD_FILENAMES"] || env["VK_DRIVER_FILES"]) return env
  const folder = folders.find((path) => existsSync(join(path, "vk_swiftshader_icd.json")))
  if (!folder) return env
  // The loader is beside the driver, on machines that have no other.
  const libraries = existsSync(join(folder, "libvulkan.so.1")) ? [folder] : []
  return {
    ...env,
    VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json"),
    LD_LIBRARY_PATH: [...(env["LD_LIBRARY_PATH"] ? [env["LD_LIBRARY_PATH"]] : []), ...libraries].join(":"),
  }
}
