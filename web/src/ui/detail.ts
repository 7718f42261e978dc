import {
  formatChange,
  formatClock,
  formatCount,
  formatMissing,
  formatPrice,
  formatSize,
  formatVolume,
} from "../format";
import type { Detail, Sale } from "../messages";
import { byId, find, setData, setText } from "./dom";

const linesMax = 40;

/** What is known of the chosen symbol: its day, its best bid and ask, its trades. */
export class DetailView {
  private readonly parts = Object.fromEntries(
    [
      "name",
      "last",
      "change",
      "high",
      "low",
      "volume",
      "bid",
      "ask",
      "bid-size",
      "ask-size",
      "spread",
      "balance",
    ].map((id) => [id, byId(id)]),
  );
  private readonly bars = {
    bid: find("#depth .bid .bar", HTMLElement),
    ask: find("#depth .ask .bar", HTMLElement),
  };
  private readonly sales = find("#sales", HTMLTableSectionElement);
  private readonly lines: HTMLTableRowElement[] = [];

  paint({ row, bidSize, askSize, high, low, sales }: Detail): void {
    const price = (value: number | undefined) => formatPrice(value, row.decimals);
    const change = formatChange(row.change);
    this.write("name", row.symbol);
    this.write("last", price(row.last));
    this.write("change", change);
    setData(
      this.parts["change"]!,
      "moved",
      change.startsWith("+") ? "up" : change.startsWith("-") ? "down" : "flat",
    );
    this.write("high", price(high));
    this.write("low", price(low));
    this.write("volume", formatVolume(row.volume));

    const { bid, ask } = row;
    this.write("bid", price(bid));
    this.write("ask", price(ask));
    this.write("bid-size", formatSize(bidSize));
    this.write("ask-size", formatSize(askSize));
    const both = bid && ask ? { bid, ask } : undefined;
    this.write("spread", both ? price(both.ask - both.bid || undefined).replace("–", "0") : "–");
    const total = (bidSize ?? 0) + (askSize ?? 0);
    const share = total > 0 ? (bidSize ?? 0) / total : 0.5;
    scale(this.bars.bid, total > 0 ? share : 0);
    scale(this.bars.ask, total > 0 ? 1 - share : 0);
    this.write("balance", total > 0 ? `${Math.round(share * 100)} % of the size is bid` : "");

    this.paintSales(sales, row.decimals);
  }

  /** Writes the lines that are new, and moves the others down as they are. */
  private paintSales(sales: readonly Sale[], decimals: number): void {
    const first = this.lines[0]?.dataset["id"];
    const known = sales.findIndex(({ id }) => String(id) === first);
    const fresh = sales.slice(0, known < 0 ? linesMax : known);
    if (known < 0) for (const tr of this.lines.splice(0)) tr.remove();
    for (const sale of fresh.reverse()) {
      const tr = this.lines.length < linesMax ? newLine() : this.lines.pop()!;
      writeSale(tr, sale, decimals);
      this.lines.unshift(tr);
      this.sales.prepend(tr);
    }
  }

  private write(id: string, text: string): void {
    setText(this.parts[id]!, text);
  }
}

function scale(bar: HTMLElement, share: number): void {
  const transform = `scaleX(${share.toFixed(2)})`;
  if (bar.style.transform !== transform) bar.style.transform = transform;
}

function newLine(): HTMLTableRowElement {
  const tr = document.createElement("tr");
  for (let i = 0; i < 3; i++) tr.insertCell();
  return tr;
}

function writeSale(tr: HTMLTableRowElement, sale: Sale, decimals: number): void {
  const [time, price, size] = tr.cells;
  setData(tr, "id", String(sale.id));
  setData(tr, "from", String(sale.from));
  setData(tr, "to", String(sale.to));
  setData(tr, "kind", sale.kind);
  setData(tr, "side", sale.side);
  setText(time!, formatClock(sale.timeMs));
  if (sale.kind === "gap") {
    setText(price!, formatMissing(sale.count, sale.reason));
    setText(size!, sale.reason);
  } else {
    setText(price!, formatPrice(sale.price, decimals));
    setText(size!, formatSize(sale.size) + (sale.kind === "sum" ? ` in ${formatCount(sale.count)}` : ""));
  }
}
