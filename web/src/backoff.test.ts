import { expect, it } from "vitest";
import { Backoff } from "./backoff";

const almostOne = 1 - Number.EPSILON;

it("doubles its bound up to half a minute", () => {
  const backoff = new Backoff(() => almostOne);
  const waits = Array.from({ length: 9 }, () => Math.round(backoff.next()));
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
});

it("jitters over the whole of it", () => {
  expect(new Backoff(() => 0).next()).toBe(0);
  expect(new Backoff(() => 0.5).next()).toBe(250);
});

it("never comes before the time that the server named", () => {
  expect(new Backoff(() => 0).next(3000)).toBe(3000);
  expect(new Backoff(() => 0.5).next(3000)).toBe(3250);
});

it("begins again after a reset", () => {
  const backoff = new Backoff(() => almostOne);
  backoff.next();
  backoff.next();
  backoff.reset();
  expect(Math.round(backoff.next())).toBe(500);
});
