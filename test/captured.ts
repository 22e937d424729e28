import { vi } from "vitest"

/** What a command function wrote in this process: for the many small checks, where a process each would take long. */
export async function captured(work: () => unknown): Promise<{ readonly stdout: string; readonly stderr: string }> {
  let stdout = ""
  let stderr = ""
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += String(text)
    return true
  })
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += String(text)
    return true
  })
  try {
    await work()
  } finally {
    out.mockRestore()
    err.mockRestore()
  }
  return { stdout, stderr }
}
