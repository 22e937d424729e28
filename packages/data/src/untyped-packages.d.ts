// The parts that are used here of packages that ship no types.
declare module "@npmcli/config" {
  export default class Config {
    constructor(options: {
      definitions: unknown
      shorthands: unknown
      flatten: unknown
      npmPath: string
      execPath?: string
      cwd?: string
      argv?: readonly string[]
      env?: NodeJS.ProcessEnv
      warn?: boolean
    })
    load(): Promise<void>
    find(key: string): string | null
    get(key: string): unknown
    readonly flat: Record<string, unknown>
  }
}
declare module "@npmcli/config/lib/definitions/index.js" {
  const known: { readonly definitions: unknown; readonly shorthands: unknown; readonly flatten: unknown }
  export default known
}

declare module "pngjs" {
  export const PNG: {
    readonly sync: {
      /** `data` is RGBA, 8 bits a channel, row-major */
      read(png: Buffer): { readonly width: number; readonly height: number; readonly data: Buffer }
      write(image: { readonly width: number; readonly height: number; readonly data: Buffer }): Buffer
    }
  }
}
