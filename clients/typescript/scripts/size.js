// States what the library adds to a page: built by Vite, minified, alone and with MessagePack.

import { gzipSync } from "node:zlib";
import { build } from "vite";

const connect = `import { connect } from "/src/index.ts"; globalThis.used = connect`;
const programs = [
  { name: "connect, all included", source: connect },
  { name: "connect, without MessagePack", source: connect, external: ["@msgpack/msgpack"] },
  { name: "a worker's file", source: `import { serveWorker } from "/src/worker.ts"; serveWorker()` },
  { name: "millis alone", source: `import { millis } from "/src/index.ts"; globalThis.used = millis` },
];
const entry = "/entry.js";

for (const { name, source, external = [] } of programs) {
  const virtual = {
    name: "entry",
    enforce: "pre",
    resolveId: (id) => (id === entry ? entry : undefined),
    load: (id) => (id === entry ? source : undefined),
  };
  const { output } = await build({
    configFile: false,
    logLevel: "error",
    plugins: [virtual],
    build: {
      write: false,
      target: "es2022",
      modulePreload: { polyfill: false },
      rolldownOptions: { input: entry, external },
    },
  });
  const code = output.map((chunk) => chunk.code).join("");
  console.log(`${name.padEnd(30)} ${kb(code.length)} minified, ${kb(gzipSync(code).length)} gzipped`);
}

function kb(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`.padStart(8);
}
