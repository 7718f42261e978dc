import { Code } from "tickcast";
import { formatAge } from "../format";
import type { Status } from "../messages";
import { byId, setData, setHidden, setText } from "./dom";

/** What is wrong, and what the page does about it. */
export interface Trouble {
  tone: "wait" | "bad" | "play";
  title: string;
  text: string;
  /** What changes by the second: seen, but not read out each time. */
  when?: string;
  action?: "retry" | "token";
}

// A market that is quiet for so long is worth a word.
const silentSeconds = 15;

/** Returns undefined where all is well. `now` is in Unix ms. */
export function troubleOf(status: Status, online: boolean, now: number): Trouble | undefined {
  const { state } = status;
  if (state.kind === "closed") {
    if (state.error?.code === Code.unauthenticated) {
      // The node's own words, where it refused one.
      const said = state.error.message.endsWith(`(${Code.unauthenticated})`)
        ? sentence(state.error.message)
        : "";
      const text = `${said} Give one to go on; it is kept in this page only.`.trim();
      return { tone: "bad", title: "The node asks for a token.", text, action: "token" };
    }
    const text = `${sentence(state.error?.message ?? "")} Reload the page when that is mended.`;
    return { tone: "bad", title: "This page cannot speak to the node.", text };
  }
  if (!online && state.kind !== "live") {
    const text = "Prices are those of the last connection. It comes back by itself with the network.";
    return { tone: "bad", title: "This device is offline.", text };
  }
  if (state.kind === "waiting") {
    const seconds = Math.max(0, Math.ceil((state.until - now) / 1000));
    const [title, text] = reasonOf(state.code, state.why);
    return { tone: "wait", title, text, when: `Next attempt in ${seconds} s.`, action: "retry" };
  }
  if (state.kind !== "live") {
    const text = state.kind === "connecting" ? "" : "Showing the node a token.";
    return { tone: "wait", title: "Connecting.", text };
  }
  if (status.renewal) {
    const { endsAt, fault } = status.renewal;
    const text = "Give the next one and nothing stops; it is kept in this page only.";
    const when = `It ends in ${formatAge(Math.max(0, (endsAt - now) / 1000))}.`;
    const title = fault === "" ? "The token is about to end." : `That token was refused: ${fault}.`;
    return { tone: "wait", title, text, when, action: "token" };
  }
  if (status.noFeed) {
    const text = "It has not heard of any symbol: is a feed running? It is asked again every two seconds.";
    return { tone: "wait", title: "The node has no market data yet.", text };
  }
  if (status.slow) {
    const text = "It takes messages only every two seconds, so the node soon sees a slow client.";
    return { tone: "play", title: "This page reads slowly, on purpose.", text };
  }
  if ((status.silentSeconds ?? 0) >= silentSeconds) {
    const text =
      "The link is alive; the market may be closed, or the feed away. Ages show how old each price is.";
    const when = `The last came ${formatAge(status.silentSeconds)} ago.`;
    return { tone: "wait", title: "No price is coming.", text, when };
  }
  return undefined;
}

function reasonOf(code: number | undefined, why: string): [title: string, text: string] {
  switch (code) {
    case Code.restart:
      return [
        "The node is restarting.",
        "It said goodbye; trades that come meanwhile are asked for afterwards.",
      ];
    case Code.overloaded:
      return ["The node is full.", "It asked to come back later."];
    case Code.slowConsumer:
      return [
        "The node ended the connection: this page was too slow (4408).",
        "What was missed is asked for.",
      ];
    case Code.tooMany:
      return ["Too many requests or connections (4429).", "The node asked to come back later."];
    default:
      return ["Connection lost.", sentence(why)];
  }
}

function sentence(words: string): string {
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`;
}

export class Banner {
  private readonly box = byId("banner");
  private asked = false;

  constructor(retry: () => void, signIn: (token: string) => void) {
    byId("banner-retry").addEventListener("click", retry);
    const token = byId("token") as HTMLInputElement;
    byId("sign-in").addEventListener("submit", (submit) => {
      submit.preventDefault();
      signIn(token.value.trim());
      token.value = "";
    });
  }

  paint(trouble: Trouble | undefined): void {
    setHidden(this.box, trouble === undefined);
    if (!trouble) return;
    setData(this.box, "tone", trouble.tone);
    setText(byId("banner-title"), trouble.title);
    setText(byId("banner-text"), trouble.text);
    setText(byId("banner-when"), trouble.when ?? "");
    setHidden(byId("banner-retry"), trouble.action !== "retry");
    setHidden(byId("sign-in"), trouble.action !== "token");
    // Nothing else can be done without one; while the old one lasts the reader is left alone.
    if (trouble.tone === "bad" && trouble.action === "token" && !this.asked) byId("token").focus();
    this.asked = trouble.tone === "bad" && trouble.action === "token";
  }
}
