import type { catalogue } from "./catalogue.ts"
import { ensureDataset, type LoadOptions } from "./ensure.ts"
import { lookUp } from "./look-up.ts"

/** A text as UTF-8 bytes (for byte-level models: 256 symbols) with the places of its sections. */
export interface TextDataset {
  readonly name: string
  readonly bytes: Uint8Array
  /** [start, end) in bytes */
  readonly sections: readonly { readonly title: string; readonly start: number; readonly end: number }[]
  readonly hash: string
  /** The decoded text; made anew on each call. */
  text(): string
}

/** Data sets that {@link loadText} takes. */
export type TextDatasetName = {
  [K in keyof typeof catalogue]: (typeof catalogue)[K]["kind"] extends "text" ? K : never
}[keyof typeof catalogue]

/** A text by name. Cache, network and errors as for `loadDataset`. */
export async function loadText(name: TextDatasetName, options: LoadOptions = {}): Promise<TextDataset> {
  const file = await ensureDataset(lookUp(name, "text"), options)
  const bytes = file.array("text")
  return {
    name,
    bytes,
    sections: file.header.facts["sections"] as TextDataset["sections"],
    hash: file.root,
    text: () => new TextDecoder().decode(bytes),
  }
}
