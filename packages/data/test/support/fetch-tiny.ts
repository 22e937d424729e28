/** A process of its own that wants the tiny data set: `fetch-tiny.ts <archive> <directory>`; prints what it got. */
import { readFile } from "node:fs/promises"
import { ensureDataset } from "../../src/ensure.ts"
import { tinyEntry } from "./tiny.ts"

const [archive, directory] = process.argv.slice(2) as [string, string]
const phases: string[] = []
try {
  const file = await ensureDataset(tinyEntry(await readFile(archive)), {
    directory,
    onProgress: ({ phase }) => {
      if (phases.at(-1) !== phase) phases.push(phase)
    },
  })
  console.log(JSON.stringify({ images: [...file.array("train.images")], phases }))
} catch (error) {
  const { name, message } = error as Error
  console.log(JSON.stringify({ error: name, message }))
}
