import { type Command, Option } from "commander"
import type { BundleOptions } from "../bundle-command.ts"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp bundle`: one archive that runs experiments on a machine without a network. */
export function register(program: Command): void {
  program
    .command("bundle")
    .description("pack experiments with program, packages, Node and data, for a machine without network")
    .argument("<file...>", "experiment files, for example snella.vit.ts")
    .option("--platform <name>", "linux-x64, linux-arm64, darwin-x64 or darwin-arm64 (default: this machine's)")
    .option("--out <file>", "the archive; its ending (.tar.xz, .tar.zst, .tar.gz) chooses the compression")
    .addOption(
      new Option(
        "--format <kind>",
        "xz is smallest, gz opens everywhere, folder is not packed (default: xz, else zst)",
      ).choices(["xz", "zst", "gz", "folder"]),
    )
    .option("--profile <name...>", 'only what these profiles read; "default" is the experiment as it is (default: all)')
    .option("--data <name...>", "more data sets")
    .addOption(
      new Option(
        "--with <part...>",
        "also what is left out: webgpu, the packages of the device webgpu-eager (5 MB; the device webgpu needs none)",
      ).choices(["webgpu"]),
    )
    .option("--scripts", "also benchmarks and the suite of operations, for scripts/gpu.ts; with webgpu")
    .option("--no-stages", "leave results of stages out and take the data sets that they are computed from")
    .action(async (files: string[], options: BundleOptions, command: Command) => {
      const { bundleCommand } = await import("../bundle-command.ts")
      await bundleCommand(files, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
