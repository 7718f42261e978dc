import { TickcastError } from "tickcast";
import { describe, expect, it } from "vitest";
import { portable, type LinkState, type Status } from "../messages";
import { troubleOf } from "./banner";

const hello = {
  kind: "hello",
  protocol: 1,
  session: "s",
  node: "n",
  heartbeatMs: 1,
  maxSymbols: 1,
  auth: "none",
} as const;
const live: LinkState = { kind: "live", hello };
const waiting = (code: number | undefined, why = "why"): LinkState => ({
  kind: "waiting",
  until: 3_500,
  why,
  code,
});
/** As it comes from the other thread. */
const closed = (code: number | undefined): LinkState =>
  structuredClone(portable({ kind: "closed", error: new TickcastError(`expired (${code})`, code) }));
const well = { state: live, noFeed: false, silentSeconds: 0, slow: false, renewal: undefined };

describe("a trouble", () => {
  it.each<[string, Partial<Status>, boolean, string, string]>([
    ["of a node that restarts", { state: waiting(1012) }, true, "restarting", "Next attempt in 3 s."],
    ["of a full node", { state: waiting(1013) }, true, "full", "come back later"],
    ["of being too slow", { state: waiting(4408) }, true, "too slow (4408)", "asked for"],
    ["of too many connections", { state: waiting(4429) }, true, "4429", "later"],
    [
      "of a broken link",
      { state: waiting(1006, "nothing heard for 37 s") },
      true,
      "lost",
      "Nothing heard for 37 s.",
    ],
    ["of a device without network", { state: waiting(1006) }, false, "offline", "by itself"],
    ["of a token", { state: closed(4401) }, true, "asks for a token", "Expired (4401). Give"],
    ["of another protocol", { state: closed(undefined) }, true, "cannot speak", "Reload"],
    ["of a node without a feed", { noFeed: true }, true, "no market data", "every two seconds"],
    ["of a market that is quiet", { silentSeconds: 15 }, true, "No price is coming", "15 s ago"],
    [
      "of a token near its end",
      { renewal: { endsAt: 8_500, fault: "" } },
      true,
      "about to end",
      "ends in 7 s",
    ],
    [
      "of a token that cannot take its place",
      { renewal: { endsAt: 8_500, fault: "bad (4401)" } },
      true,
      "refused: bad (4401)",
      "next one",
    ],
    ["of this page's own making", { slow: true }, true, "on purpose", "every two seconds"],
    ["of not being there yet", { state: { kind: "connecting" } }, true, "Connecting", ""],
    [
      "of a token that is looked at",
      { state: { kind: "authenticating", hello } },
      true,
      "Connecting",
      "token",
    ],
  ])("%s is told, and what is done about it", (_name, status, online, title, text) => {
    const trouble = troubleOf({ ...well, ...status }, online, 1_000);
    expect(trouble?.title).toContain(title);
    expect(`${trouble?.text} ${trouble?.when}`).toContain(text);
  });

  it("is none where all is well, also without a network to other places", () => {
    expect(troubleOf(well, true, 0)).toBeUndefined();
    expect(troubleOf(well, false, 0)).toBeUndefined();
    expect(troubleOf({ ...well, silentSeconds: undefined }, true, 0)).toBeUndefined();
  });

  it("of a token asks for one, and that of a link for an attempt", () => {
    expect(troubleOf({ ...well, state: closed(4401) }, true, 0)?.action).toBe("token");
    expect(troubleOf({ ...well, state: waiting(1006) }, true, 0)?.action).toBe("retry");
  });
});
