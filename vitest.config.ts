import { defineConfig } from "vitest/config"

// One suite for the workspace: unit tests live beside each package, cross-package and end-to-end tests in test/.
export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    // Many tests wait for real processes, each up to a minute, on machines that have other things to do.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    pool: "forks",
    maxWorkers: 2,
    // Tests of real processes share a build machine with whatever else runs there; a second try tells a slow machine
    // from a fault. On a developer's machine nothing is tried twice.
    retry: process.env["CI"] === undefined ? 0 : 1,
  },
})
