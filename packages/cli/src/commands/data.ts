import type { Command } from "commander"
import { wantsJson } from "../database-path.ts"

/** `exp data ls|get|verify`: the data sets and their cache. */
export function register(program: Command): void {
  const data = program.command("data").description("list, fetch and verify data sets")
  data
    .command("ls")
    .description("list the known data sets and what is cached")
    .action(async (_options, command: Command) => {
      const { listData } = await import("../data-command.ts")
      await listData({ json: wantsJson(command) })
    })
  data
    .command("get")
    .description("download data sets into the cache")
    .argument("<name...>", "data sets, for example fashion-mnist")
    .option("--from <file>", "an archive that was downloaded by other means; its hash is checked")
    .action(async (names: string[], options: { from?: string }) => {
      const { getData } = await import("../data-command.ts")
      await getData(names, options)
    })
  data
    .command("verify")
    .description("check cached data sets against their recorded hashes")
    .argument("[name...]", "data sets (default: all that are cached)")
    .action(async (names: string[], _options, command: Command) => {
      const { verifyData } = await import("../data-command.ts")
      process.exitCode = await verifyData(names, { json: wantsJson(command) })
    })
}
