import { afterEach, expect, it, vi } from "vitest";
import { keep, kept } from "./kept";

afterEach(() => vi.unstubAllGlobals());

it("keeps what it is given", () => {
  const store = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (name: string) => store.get(name) ?? null,
    setItem: (name: string, text: string) => store.set(name, text),
  });
  expect(kept("theme")).toBeUndefined();
  keep("theme", "dark");
  expect(kept("theme")).toBe("dark");
});

it("does without where the reader lets it keep nothing", () => {
  const forbidden = () => {
    throw new DOMException("denied", "SecurityError");
  };
  vi.stubGlobal("localStorage", { getItem: forbidden, setItem: forbidden });
  keep("theme", "dark");
  expect(kept("theme")).toBeUndefined();
});
