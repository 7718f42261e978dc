import type { Bar, Trade } from "tickcast";
import type { Candle } from "../messages";

// Five minutes of the busiest symbol; of a quiet one as many seconds as had a trade.
const secondsMax = 300;

/** One symbol's candles of a second, as trades come, and of a minute, where bars were asked for. */
export class Candles {
  private seconds: Candle[] = [];
  private readonly minutes = new Map<number, Candle>();
  /** Rises with every change. */
  version = 0;

  /** Adds one trade, or the sum of some. `time` is in seconds; one older than the newest counts as that. */
  add(time: number, open: number, high: number, low: number, close: number, volume: number): void {
    this.version++;
    const second = Math.floor(time);
    const last = this.seconds.at(-1);
    if (!last || second > last.time) {
      this.seconds.push({ time: second, open, high, low, close, volume });
      if (this.seconds.length > secondsMax * 2) this.seconds = this.seconds.slice(-secondsMax);
    } else {
      join(last, { time: second, open, high, low, close, volume });
    }
  }

  /** Adds trades from before the first one that was added, oldest first. */
  before(trades: readonly Trade[]): void {
    const past = new Candles();
    for (const { time, price, size } of trades)
      past.add(Number(time) / 1e9, price, price, price, price, size);
    const first = this.seconds[0];
    for (let seam; first && (seam = past.seconds.at(-1)) && seam.time >= first.time; past.seconds.pop()) {
      join(seam, first);
      Object.assign(first, seam, { time: first.time });
    }
    this.seconds = [...past.seconds, ...this.seconds].slice(-secondsMax * 2);
    this.version++;
  }

  /** A bar knows all trades of its minute, also those from before the page was opened. */
  bar({ time, open, high, low, close, volume }: Bar): void {
    this.version++;
    const minute = Number(time) / 1e9;
    this.minutes.set(minute, { time: minute, open, high, low, close, volume });
  }

  /** Candles of so many seconds, oldest first, from the one that holds `since` on. */
  fold(seconds: number, since = 0): Candle[] {
    const folded = new Map<number, Candle>();
    for (const one of this.seconds) {
      const time = Math.floor(one.time / seconds) * seconds;
      if (time + seconds <= since) continue;
      const candle = folded.get(time);
      if (candle) join(candle, one);
      else folded.set(time, { ...one, time });
    }
    if (seconds === 60) {
      for (const [time, bar] of this.minutes) {
        if (time + seconds <= since) continue;
        const live = folded.get(time);
        // The live trades are ahead of the bar by up to a second; its volume counts each trade once.
        if (live)
          folded.set(time, {
            ...bar,
            high: Math.max(bar.high, live.high),
            low: Math.min(bar.low, live.low),
            close: live.close,
          });
        else folded.set(time, { ...bar });
      }
    }
    return [...folded.values()].sort((a, b) => a.time - b.time);
  }
}

function join(candle: Candle, next: Candle): void {
  candle.high = Math.max(candle.high, next.high);
  candle.low = Math.min(candle.low, next.low);
  candle.close = next.close;
  candle.volume += next.volume;
}
