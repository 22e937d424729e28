// The parts of @npmcli/config that are used here; the package ships no types.
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
