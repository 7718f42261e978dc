import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // The first use of the server builds it.
    hookTimeout: 300_000,
    testTimeout: 60_000,
  },
});
