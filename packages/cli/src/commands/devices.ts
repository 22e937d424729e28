import type { Command } from "commander"
import { wantsJson } from "../database-path.ts"

/** `exp devices`: what can compute here, how fast, and why the rest is missing. */
export function register(program: Command): void {
  program
    .command("devices")
    .description("list the devices, their measured speed, and why a device is missing")
    .action(async (_options, command: Command) => {
      const { listDevices } = await import("../devices-command.ts")
      await listDevices({ json: wantsJson(command) })
    })
}
