// When a token should be replaced.

/** Where a token comes from: the token itself, or a function that is asked for a new one each time. */
export type TokenSource = string | (() => string | Promise<string>);

// The part of a token's remaining life after which a new one is asked for.
const refreshAt = 0.8;
/** The shortest time between two tokens, also where this machine's clock is wrong. */
export const refreshMinMs = 5_000;
const timerMaxMs = 2 ** 31 - 1;

/**
 * Returns in how many ms to send a fresh token, so that the connection outlives this one; undefined
 * where the token does not say when it ends. `now` is in Unix ms. Nothing is verified.
 */
export function refreshAfter(token: string, now: number): number | undefined {
  const expires = expiryOf(token);
  if (expires === undefined) return undefined;
  return Math.min(timerMaxMs, Math.max(refreshMinMs, (expires - now) * refreshAt));
}

/** When a JWT ends by its `exp` claim, in Unix ms; undefined where it does not say. Nothing is verified. */
export function expiryOf(token: string): number | undefined {
  const payload = token.split(".")[1] ?? "";
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    const exp = (claims as { exp?: unknown } | null)?.exp;
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    return undefined; // no JWT, which is the issuer's affair
  }
}
