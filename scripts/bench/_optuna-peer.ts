import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** The first Python that has optuna: the one on the path, or the system's. */
const python = ["python3", "/usr/bin/python3"].find(
  (program) => spawnSync(program, ["-c", "import optuna"], { stdio: "ignore" }).status === 0,
)

/** Name and version of the peer; undefined where there is none. */
export const optunaName: string | undefined =
  python &&
  `optuna ${spawnSync(python, ["-c", "import optuna; print(optuna.__version__)"], { encoding: "utf8" }).stdout.trim()}`

/** The JSON lines that the peer prints for a job; nothing without optuna. */
export async function* optuna(...job: readonly (string | number)[]): AsyncIterable<unknown> {
  if (python === undefined) return
  const child = spawn(python, [join(import.meta.dirname, "_optuna_search.py"), ...job.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line)
}
