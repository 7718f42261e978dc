import { beforeEach, expect, it, vi } from "vitest";
import { Pass } from "./pass";

/** A token that ends at so many Unix seconds. */
function token(name: string, exp: number): string {
  const part = (value: object) => btoa(JSON.stringify(value)).replaceAll("=", "");
  return `${part({ alg: "HS256" })}.${part({ jti: name, exp })}.signature`;
}

const first = token("first", 1_000);
const second = token("second", 2_000);
const third = token("third", 3_000);
const asked = vi.fn();
let pass: Pass;

beforeEach(() => {
  asked.mockClear();
  pass = new Pass(asked);
});

/** The first token is in force, and the client has asked for the next one. */
function inForce(): Promise<string> {
  pass.give(first, false);
  expect(pass.ask(false)).toBe(first);
  return pass.ask(true) as Promise<string>;
}

it("opens each connection with the token that was given, without asking the reader", () => {
  expect(pass.give(first, false)).toBe(false);
  expect([pass.ask(false), pass.ask(false)]).toEqual([first, first]);
  expect(pass.renewal).toBeUndefined();
  expect(asked).not.toHaveBeenCalled();
});

it("asks the reader for the next one while the first is in force, and says when that ends", async () => {
  const next = inForce();
  expect(pass.renewal).toEqual({ endsAt: 1_000_000, fault: "" });
  expect(asked).toHaveBeenCalledOnce();
  expect(pass.give(second, true)).toBe(true);
  expect(await next).toBe(second);
  expect(pass).toMatchObject({ token: second, renewal: undefined });
});

it("hands over a token that nobody waited for when the client asks", () => {
  pass.give(first, false);
  pass.ask(false);
  expect(pass.give(second, true)).toBe(false);
  expect(pass.ask(true)).toBe(second);
  expect(asked).not.toHaveBeenCalled();
});

it("keeps the one in force where the node refuses its successor, and says why until another comes", async () => {
  const next = inForce();
  pass.give(second, true);
  await next;
  pass.refused("not signed");
  expect(pass).toMatchObject({ token: first, renewal: { endsAt: 1_000_000, fault: "not signed" } });

  const again = pass.ask(true) as Promise<string>;
  expect(pass.renewal?.fault).toBe("not signed");
  pass.give(third, true);
  expect(await again).toBe(third);
  expect(pass).toMatchObject({ token: third, renewal: undefined });
});

it("goes on with the successor where the connection ends before the node has said anything of it", async () => {
  const next = inForce();
  pass.give(second, true);
  await next;
  pass.ended();
  expect(pass.renewal).toBeUndefined();
  expect(pass.ask(false)).toBe(second);
});

it("does not give a connection that has ended what the next one is opened with", async () => {
  const next = inForce();
  pass.ended();
  expect(pass.renewal).toBeUndefined();
  expect(pass.give(second, false)).toBe(false);
  expect(pass.ask(false)).toBe(second);
  expect(await Promise.race([next, Promise.resolve("nothing")])).toBe("nothing");
});

it("has the page ask at once for a token that does not tell its end", () => {
  vi.spyOn(Date, "now").mockReturnValue(5_000);
  pass.give("opaque", false);
  pass.ask(false);
  void pass.ask(true);
  expect(pass.renewal).toEqual({ endsAt: 5_000, fault: "" });
  vi.restoreAllMocks();
});

it("has nothing to fall back on before the first token", () => {
  pass.refused("why");
  expect(pass).toMatchObject({ token: undefined, renewal: undefined });
});
