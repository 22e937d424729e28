import { createHash } from "node:crypto"
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { create } from "tar"

/** A gzipped tar of `files`, under the leading directory that npm packages have. */
export async function archiveOf(files: Record<string, string | Uint8Array>): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), "exp-archive-"))
  for (const [path, content] of Object.entries(files)) {
    const full = join(directory, "package", path)
    await mkdir(dirname(full), { recursive: true })
    await writeFile(full, content)
  }
  const file = join(directory, "archive.tgz")
  await create({ cwd: directory, file, gzip: true, portable: true }, ["package"])
  return readFile(file)
}

export const sha512 = (bytes: Uint8Array) => `sha512-${createHash("sha512").update(bytes).digest("base64")}`

/** A real npm registry on a local port that serves one package, and counts what it is asked for. */
export class LocalRegistry {
  readonly requests: string[] = []
  /** What the tarball's address answers; change it to serve something else than was published. */
  served: Uint8Array
  /** Answers are held back this long. */
  delayMs = 0
  readonly #server: Server
  readonly #name: string
  readonly #integrity: string

  private constructor(server: Server, name: string, tarball: Uint8Array) {
    this.#server = server
    this.#name = name
    this.served = tarball
    this.#integrity = sha512(tarball)
  }

  static async start(name: string, tarball: Uint8Array): Promise<LocalRegistry> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const registry = new LocalRegistry(server, name, tarball)
    server.on("request", (request, response) => {
      registry.requests.push(request.url ?? "")
      setTimeout(() => {
        if (request.url?.endsWith(".tgz")) {
          response.end(registry.served)
        } else if (request.url === `/${name}`) {
          response.setHeader("content-type", "application/json")
          response.end(JSON.stringify(registry.#packument()))
        } else {
          response.statusCode = 404
          response.end("{}")
        }
      }, registry.delayMs)
    })
    return registry
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  get tarballRequests(): number {
    return this.requests.filter((url) => url.endsWith(".tgz")).length
  }

  #packument() {
    const version = "1.0.0"
    const dist = { tarball: `${this.url}${this.#name}/-/${this.#name}-${version}.tgz`, integrity: this.#integrity }
    return {
      name: this.#name,
      "dist-tags": { latest: version },
      versions: { [version]: { name: this.#name, version, dist } },
    }
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }
}
