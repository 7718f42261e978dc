import type { MarketEvent } from "tickcast";
import type { Sale } from "../messages";

const keptMax = 40;

/** Time and sales of one symbol: its newest trades, and what stands for trades that did not come. */
export class Sales {
  private list: Sale[] = []; // oldest first
  private lastId = 0;

  clear(): void {
    this.list = [];
  }

  /** `now` dates a gap, in Unix ms: the trades that are missing have no time. */
  add(event: MarketEvent, now: number): void {
    const none = { price: undefined, size: undefined, side: "unknown", reason: "" } as const;
    switch (event.kind) {
      case "trade": {
        const { seq, time, price, size, side } = event;
        const timeMs = Number(time) / 1e6;
        this.push({ ...none, kind: "trade", from: seq, to: seq, timeMs, price, size, side, count: 1 });
        break;
      }
      case "aggregate": {
        const { from, to, lastTime, close, volume, count } = event;
        const timeMs = Number(lastTime) / 1e6;
        this.push({ ...none, kind: "sum", from, to, timeMs, price: close, size: volume, count });
        break;
      }
      case "gap": {
        const { channel, from, to, reason } = event;
        if (channel !== "trade" || reason === "reset") break;
        this.push({ ...none, kind: "gap", from, to, timeMs: now, count: to - from + 1, reason });
        break;
      }
    }
  }

  newest(): Sale[] {
    return this.list.slice(-keptMax).reverse();
  }

  private push(sale: Omit<Sale, "id">): void {
    this.list.push({ id: ++this.lastId, ...sale });
    if (this.list.length > keptMax * 4) this.list = this.list.slice(-keptMax);
  }
}
