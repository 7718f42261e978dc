// Type-checks every example of the README, and of the page about clients, as one file each.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const dir = new URL("../.readme/", import.meta.url);
rmSync(dir, { recursive: true, force: true });
mkdirSync(dir);
const pages = ["../README.md", "../../../docs/clients.md"].map((page) =>
  readFileSync(new URL(page, import.meta.url), "utf8"),
);
const examples = [...pages.join("\n").matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
const files = examples.map((code, i) => {
  writeFileSync(new URL(`example${i + 1}.ts`, dir), code);
  return `example${i + 1}.ts`;
});
const config = {
  extends: "../tsconfig.json",
  compilerOptions: {
    noUnusedLocals: false,
    paths: { tickcast: ["../src/index.ts"], "tickcast/worker": ["../src/worker.ts"] },
  },
  include: [],
  files,
};
writeFileSync(new URL("tsconfig.json", dir), JSON.stringify(config));
execFileSync("npx", ["tsc", "-p", ".readme"], { stdio: "inherit" });
rmSync(dir, { recursive: true });
console.log(`${examples.length} examples are sound`);
