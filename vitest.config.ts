import { defineConfig } from "vitest/config"

// One suite for the workspace: unit tests live beside each package, cross-package and end-to-end tests in test/.
export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
  },
})
