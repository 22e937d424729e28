/** Packages of the npm registry, fetched and unpacked through npm's own client. */
import { npmSettings } from "./npm-settings.ts"

/** A package could not be fetched. */
export class PackageNotFetched extends Error {
  readonly _tag = "PackageNotFetched"
  readonly spec: string
  constructor(spec: string, cause: unknown) {
    const { code, message } = (cause ?? {}) as { code?: string; message?: string }
    const advice =
      code === "E404"
        ? "The registry in npm's settings does not have it."
        : code === "EINTEGRITY"
          ? "What the registry sent is not what package-lock.json expects."
          : "Check the network, and npm's settings (`npm config get registry proxy https-proxy cafile`)."
    super(`The package ${spec} could not be fetched (${code ?? message ?? String(cause)}). ${advice}`, { cause })
    this.name = "PackageNotFetched"
    this.spec = spec
  }
}

/**
 * Fetches a package with the user's npm settings and unpacks it; none of its scripts is run.
 *
 * @param spec name@version, exact
 * @param folder where its files go
 * @param integrity as package-lock.json has it; undefined where it is not known
 * @throws PackageNotFetched
 */
export async function extractPackage(spec: string, folder: string, integrity?: string): Promise<void> {
  const [{ default: pacote }, settings] = await Promise.all([import("pacote"), npmSettings()])
  try {
    await pacote.extract(spec, folder, {
      ...settings,
      ...(integrity === undefined ? {} : { integrity }),
    } as object)
  } catch (error) {
    throw new PackageNotFetched(spec, error)
  }
}
