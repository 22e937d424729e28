import type { Command } from "commander"
import { wantsJson } from "../database-path.ts"

/** `exp devices`: what can compute here, how fast, and why the rest is missing. */
export function register(program: Command): void {
  program
    .command("devices")
    .description("list the devices, their measured speed, and why a device is missing")
    .option("--no-measure", "skip the measurements, which take a few seconds")
    .option("--install <device>", "install the optional package of a device: cuda")
    .action(async (options: { measure: boolean; install?: string }, command: Command) => {
      const { installDevice, listDevices } = await import("../devices-command.ts")
      if (options.install === undefined) await listDevices({ json: wantsJson(command), measure: options.measure })
      else process.exitCode = installDevice(options.install)
    })
}
