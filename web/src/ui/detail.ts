import { formatChange, formatClock, formatCount, formatPrice, formatSize, formatVolume } from "../format";
import type { Detail, Sale } from "../messages";
import { byId, find, setData, setText } from "./dom";

const linesMax = 60;

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

    while (this.lines.length < Math.min(sales.length, linesMax)) this.addLine();
    for (const [i, tr] of this.lines.entries()) this.paintSale(tr, sales[i], row.decimals);
  }

  private paintSale(tr: HTMLTableRowElement, sale: Sale | undefined, decimals: number): void {
    const [time, price, size] = tr.cells;
    if (tr.dataset["id"] === String(sale?.id ?? "")) return;
    setData(tr, "id", String(sale?.id ?? ""));
    setData(tr, "kind", sale?.kind ?? "");
    setData(tr, "side", sale?.side ?? "");
    setText(time!, sale ? formatClock(sale.timeMs) : "");
    if (sale?.kind === "gap") {
      setText(price!, `up to ${formatCount(sale.count)} missing`);
      setText(size!, sale.reason);
    } else {
      setText(price!, sale ? formatPrice(sale.price, decimals) : "");
      setText(
        size!,
        sale ? formatSize(sale.size) + (sale.kind === "sum" ? ` in ${formatCount(sale.count)}` : "") : "",
      );
    }
  }

  private addLine(): void {
    const tr = this.sales.insertRow();
    for (let i = 0; i < 3; i++) tr.insertCell();
    this.lines.push(tr);
  }

  private write(id: string, text: string): void {
    setText(this.parts[id]!, text);
  }
}

function scale(bar: HTMLElement, share: number): void {
  const transform = `scaleX(${share.toFixed(2)})`;
  if (bar.style.transform !== transform) bar.style.transform = transform;
}
