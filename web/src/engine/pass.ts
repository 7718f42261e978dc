import { expiryOf } from "tickcast";
import type { Status } from "../messages";

/** The reader's token: which is in force, and which the client waits for. */
export class Pass {
  /** What a connection is opened with, and the pages asked. */
  token: string | undefined;
  /** Set while the token in force should be replaced. */
  renewal: Status["renewal"];
  private shown: string | undefined; // to the node, last
  private before: string | undefined; // in force until the node takes the one given last
  private renewed: ((token: string) => void) | undefined; // what the client waits for

  constructor(private readonly asked: () => void) {}

  /** Answers the client: the token, or while it is in force the one that is to take its place. */
  ask(live: boolean): string | Promise<string> {
    const { token = "" } = this;
    if (!live || token !== this.shown) return (this.shown = token);
    this.renewal = { endsAt: expiryOf(token) ?? Date.now(), fault: this.renewal?.fault ?? "" };
    this.asked();
    return new Promise((resolve) => (this.renewed = resolve));
  }

  /** Takes a token of the reader's. False where no client waits for it, which then has to ask. */
  give(token: string, live: boolean): boolean {
    this.before = this.token;
    this.token = token;
    this.renewal = undefined;
    if (!live || !this.renewed) return false;
    this.renewed((this.shown = token));
    this.renewed = undefined;
    return true;
  }

  /** The node did not take what was to replace the token in force. */
  refused(fault: string): void {
    if (this.before === undefined) return;
    this.token = this.shown = this.before;
    this.renewal = { endsAt: expiryOf(this.token) ?? Date.now(), fault };
  }

  /** The connection that it was in force on has ended. */
  ended(): void {
    this.renewal = this.renewed = undefined;
  }
}
