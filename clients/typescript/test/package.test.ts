// What npm would publish: what is in it, that a program compiles with it, and what it weighs.

import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const here = fileURLToPath(new URL("..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "tickcast-"));
const unpacked = join(dir, "node_modules", "tickcast");

beforeAll(() => {
  execFileSync("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: here, stdio: "pipe" });
  const [archive] = readdirSync(dir).filter((name) => name.endsWith(".tgz"));
  mkdirSync(join(dir, "node_modules"));
  execFileSync("tar", ["xf", archive!], { cwd: dir });
  execFileSync("mv", ["package", unpacked], { cwd: dir });
  for (const name of ["@msgpack", "@types", "ws", "undici-types"])
    symlinkSync(join(here, "node_modules", name), join(dir, "node_modules", name));
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
});

afterAll(() => rmSync(dir, { recursive: true }));

describe("the package", () => {
  it("has the compiled library, its types, and who may use it how", () => {
    const sources = readdirSync(join(here, "src")).filter((name) => !name.endsWith(".test.ts"));
    const want = sources.flatMap((name) => [name.replace(/ts$/, "d.ts"), name.replace(/ts$/, "js")]);
    expect(readdirSync(join(unpacked, "dist")).sort()).toEqual(want.sort());
    expect(readdirSync(unpacked).sort()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
  });

  it("runs where it is installed", () => {
    const program = `
      import { connect, Code } from "tickcast";
      import { serveWorker } from "tickcast/worker";
      console.log(typeof connect, typeof serveWorker, Code.unauthenticated);`;
    const out = execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: dir });
    expect(out.toString()).toBe("function function 4401\n");
  });

  it.each<[string, object]>([
    ["node16, without a browser's types", { module: "node16", types: ["node"], lib: ["ES2022"] }],
    ["nodenext", { module: "nodenext", types: ["node"], lib: ["ES2022", "DOM"] }],
    ["bundler", { module: "esnext", moduleResolution: "bundler", types: [], lib: ["ES2022", "DOM"] }],
  ])("has its types found by module resolution %s", (name, options) => {
    const browser = !name.startsWith("node16");
    writeFileSync(
      join(dir, "program.ts"),
      `import { connect, millis, type Trade } from "tickcast";
      import { serveWorker } from "tickcast/worker";
      const client = connect("ws://node/v1/stream"${browser ? ', { worker: () => new Worker("w.js") }' : ""});
      const sub = client.subscribe({ channels: ["trade"], symbols: "*" }, { trade: (t: Trade) => millis(t.time) });
      // @ts-expect-error: there is no such channel, so the types are not any
      client.subscribe({ channels: ["depth"], symbols: "*" });
      export { sub, serveWorker };`,
    );
    const compilerOptions = { target: "es2022", strict: true, noEmit: true, skipLibCheck: false, ...options };
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
    const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
    try {
      execFileSync(process.execPath, [tsc, "-p", dir], { stdio: "pipe" });
    } catch (error) {
      expect(String((error as { stdout: Buffer }).stdout)).toBe("");
    }
  });
});

/** What a page that runs the program loads: minified bytes, and gzipped. */
async function weigh(program: string, external: string[] = []): Promise<{ raw: number; gzipped: number }> {
  const entry = join(dir, "entry.js");
  writeFileSync(entry, program);
  const output = await build({
    configFile: false,
    root: dir,
    logLevel: "error",
    build: {
      write: false,
      target: "es2022",
      modulePreload: { polyfill: false },
      rolldownOptions: { input: entry, external },
    },
  });
  if (!("output" in output)) throw new Error("more than one build");
  const code = output.output.map((chunk) => ("code" in chunk ? chunk.code : "")).join("");
  return { raw: code.length, gzipped: gzipSync(code).length };
}

describe("the size that the README states", () => {
  const stated = readFileSync(join(here, "README.md"), "utf8")
    .split("## Size")[1]!
    .match(/(\d+) kB with MessagePack\s+\((\d+) kB gzipped\), (\d+) kB without \((\d+) kB\)/);
  const used = `import { connect } from "tickcast"; globalThis.used = connect`;

  it.each<[string, string[], number]>([
    ["with MessagePack", [], 1],
    ["without", ["@msgpack/msgpack"], 3],
  ])("is what a page loads %s", async (_name, external, at) => {
    const { raw, gzipped } = await weigh(used, external);
    // Within a kilobyte: the last digit is the minifier's and the compressor's version.
    expect(Math.abs(raw / 1000 - Number(stated?.[at]))).toBeLessThanOrEqual(1);
    expect(Math.abs(gzipped / 1000 - Number(stated?.[at + 1]))).toBeLessThanOrEqual(1);
  });

  it("is not there for what is not used", async () => {
    expect((await weigh(`import { millis } from "tickcast"; globalThis.used = millis`)).raw).toBeLessThan(
      200,
    );
  });
});
