import { readFileSync, statfsSync } from "node:fs"
import { resolve } from "node:path"

/** File systems whose locks do not hold between machines, by the numbers of Linux's statfs(2). */
const byNumber: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x01021997, "9P"],
  [0x5346414f, "AFS"],
  [0x6b414653, "AFS"],
  [0x73757245, "Coda"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x19830326, "BeeGFS"],
  [0x47504653, "GPFS"],
])

const byName =
  /^(nfs\d?|cifs|smb3?|smbfs|9p|afs|ceph|lustre|beegfs|gpfs|fuse\.(sshfs|glusterfs|s3fs|gcsfuse|rclone|ceph.*|nfs.*))$/

/** The type of the file system that holds a directory, from text like /proc/mounts: the longest mount point wins. */
export function mountType(mounts: string, directory: string): string | undefined {
  let best = ""
  let type: string | undefined
  for (const line of mounts.split("\n")) {
    const [, escaped, kind] = line.split(" ")
    if (escaped === undefined || kind === undefined) continue
    const point = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    const inside = directory === point || point === "/" || directory.startsWith(`${point}/`)
    if (inside && point.length >= best.length) {
      best = point
      type = kind
    }
  }
  return type
}

/**
 * The name of the network file system that holds `directory`, or undefined on a local one (or where the system does not
 * say). SQLite's WAL needs memory shared between the processes, which no network file system gives.
 */
export function networkFileSystem(directory: string): string | undefined {
  try {
    const known = byNumber.get(Number(statfsSync(directory).type) >>> 0)
    if (known !== undefined) return known
    if (process.platform !== "linux") return undefined
    const type = mountType(readFileSync("/proc/mounts", "utf8"), resolve(directory))
    return type !== undefined && byName.test(type) ? type : undefined
  } catch {
    return undefined
  }
}
