import { UsageError } from "../report-error.ts"

/** A kind of machine, as npm names it. Linux means one with glibc. */
export interface Platform {
  readonly os: "linux" | "darwin"
  readonly cpu: "x64" | "arm64"
}

const known = ["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"] as const

/**
 * Reads `linux-x64`.
 *
 * @throws UsageError for what no bundle can be made for
 */
export function parsePlatform(text: string): Platform {
  if (!(known as readonly string[]).includes(text)) {
    const why = text.startsWith("win32")
      ? " Packages of the workspace are linked to, which Windows does not let everybody unpack: use WSL with linux-x64."
      : ""
    throw new UsageError(`No bundle can be made for ${text}. Platforms are ${known.join(", ")}.${why}`)
  }
  const [os, cpu] = text.split("-") as [Platform["os"], Platform["cpu"]]
  return { os, cpu }
}

/** The platform of this process, in words for {@link parsePlatform}. */
export const thisPlatform = (): string => `${process.platform}-${process.arch}`

export const platformName = ({ os, cpu }: Platform): string => `${os}-${cpu}`

/** The npm package with Node's binary for a platform. */
export const nodePackage = (platform: Platform): string =>
  `${platform.os === "darwin" && platform.cpu === "arm64" ? "node-bin" : "node"}-${platformName(platform)}`
