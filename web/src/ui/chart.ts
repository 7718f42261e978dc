import {
  CandlestickSeries,
  createChart,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  type UTCTimestamp,
} from "lightweight-charts";
import type { Candle, Detail } from "../messages";
import { setAttribute, setData } from "./dom";

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const short = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const shown = 60;

/** The candles of one symbol, with their volume below. */
export class Chart {
  private readonly chart: IChartApi;
  private readonly candles: ISeriesApi<"Candlestick">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private decimals = -1;
  private last = 0;
  private up = "";
  private down = "";
  /** Of all candles had, to colour their volume anew with another theme. */
  private list: Candle[] = [];

  constructor(private readonly box: HTMLElement) {
    this.chart = createChart(box, {
      autoSize: true,
      // The logo would bring a style element, which the page's policy forbids; the page credits in words.
      layout: { attributionLogo: false, fontSize: 11 },
      localization: { timeFormatter: (time: UTCTimestamp) => clock.format(time * 1000) },
      timeScale: {
        timeVisible: true,
        secondsVisible: true,
        rightOffset: 4,
        tickMarkFormatter: (time: UTCTimestamp) => (time % 60 === 0 ? short : clock).format(time * 1000),
      },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 } },
      crosshair: { mode: 0 },
    });
    this.candles = this.chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineVisible: true });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      priceLineVisible: false,
      lastValueVisible: false,
    });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.dress();
  }

  paint({ candles, row }: Detail): void {
    if (!candles) return;
    const { all, list } = candles;
    if (all || row.decimals !== this.decimals) {
      this.decimals = row.decimals;
      const minMove = 10 ** -row.decimals;
      this.candles.applyOptions({ priceFormat: { type: "price", precision: row.decimals, minMove } });
    }
    if (all) {
      this.list = list;
      this.reset();
      const from = list[0]?.time ?? 0;
      setAttribute(this.box, "aria-label", `Candles of ${row.symbol} from ${clock.format(from * 1000)} on`);
      setData(this.box, "from", String(from));
      setData(this.box, "symbol", row.symbol);
      return;
    }
    for (const candle of list) {
      if (candle.time < this.last) continue;
      if (this.list.at(-1)?.time === candle.time) this.list.pop();
      this.list.push(candle);
      this.last = candle.time;
      this.candles.update(at(candle));
      this.volumes.update(this.volume(candle));
    }
  }

  /** Takes the colours of the page's theme, which is the only one that knows them. */
  dress(): void {
    const style = getComputedStyle(this.box);
    const colour = (name: string) => resolve(this.box, style.getPropertyValue(name));
    this.up = colour("--up");
    this.down = colour("--down");
    const line = colour("--line");
    this.chart.applyOptions({
      layout: {
        background: { color: "transparent" },
        textColor: colour("--faint"),
        fontFamily: style.fontFamily,
      },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    const { up, down } = this;
    this.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.reset();
  }

  private reset(): void {
    this.last = this.list.at(-1)?.time ?? 0;
    this.candles.setData(this.list.map(at));
    this.volumes.setData(this.list.map((candle) => this.volume(candle)));
    this.chart
      .timeScale()
      .setVisibleLogicalRange({ from: this.list.length - shown, to: this.list.length + 4 });
  }

  private volume({ time, open, close, volume }: Candle) {
    const color = fade(close >= open ? this.up : this.down);
    return { time: time as UTCTimestamp, value: volume, color };
  }
}

function at({ time, open, high, low, close }: Candle) {
  return { time: time as UTCTimestamp, open, high, low, close };
}

/** Returns a colour in a form that a canvas library can read, whatever the style sheet says. */
function resolve(box: HTMLElement, colour: string): string {
  const probe = document.createElement("span");
  probe.style.color = colour;
  box.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function fade(rgb: string): string {
  return rgb.replace(/^rgb\((.*)\)$/, "rgba($1, 0.35)");
}
