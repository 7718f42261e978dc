// Builds the streamer once for all tests that run one.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The path of the built streamer. */
    streamer: string;
  }
}

const root = fileURLToPath(new URL("../../..", import.meta.url));

export default function setup(project: TestProject): () => void {
  const dir = mkdtempSync(join(tmpdir(), "tickcast-"));
  const streamer = join(dir, "streamer");
  execFileSync("go", ["build", "-o", streamer, "./cmd/streamer"], { cwd: root, stdio: "inherit" });
  project.provide("streamer", streamer);
  return () => rmSync(dir, { recursive: true });
}
