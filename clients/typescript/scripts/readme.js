// Type-checks every example of the README, as one file each.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const dir = new URL("../.readme/", import.meta.url);
rmSync(dir, { recursive: true, force: true });
mkdirSync(dir);
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
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
console.log(`${examples.length} examples of the README are sound`);
