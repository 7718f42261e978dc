import { Code } from "tickcast";
import {
  formatAge,
  formatChange,
  formatClock,
  formatCount,
  formatMissing,
  formatPrice,
  formatRejection,
  formatSize,
  formatSpread,
  formatVolume,
  isStale,
} from "../format";
import type { Detail, Sale } from "../messages";
import { byId, find, setData, setHidden, setText } from "./dom";

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
      "mid",
      "balance",
      "trade-age",
      "quote-age",
      "trouble",
    ].map((id) => [id, byId(id)]),
  );
  private readonly bars = {
    bid: find("#depth .bid .bar", HTMLElement),
    ask: find("#depth .ask .bar", HTMLElement),
  };
  private readonly quote = find("#depth .ladder", HTMLElement);
  private readonly empty = byId("no-sales");
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
    this.write("spread", both ? formatSpread(both.bid, both.ask, row.decimals) : "–");
    this.write("mid", both ? formatPrice((both.bid + both.ask) / 2, row.decimals + 1) : "–");
    const total = (bidSize ?? 0) + (askSize ?? 0);
    const share = total > 0 ? (bidSize ?? 0) / total : 0.5;
    scale(this.bars.bid, total > 0 ? share : 0);
    scale(this.bars.ask, total > 0 ? 1 - share : 0);
    this.write("balance", total > 0 ? `${Math.round(share * 100)} %` : "–");

    for (const [id, age] of [
      ["trade-age", row.tradeAge],
      ["quote-age", row.quoteAge],
    ] as const) {
      this.write(id, age === undefined ? "–" : `${formatAge(age)} ago`);
      setData(this.parts[id]!.parentElement!, "bad", String(isStale(age)));
    }
    setData(this.parts["last"]!, "stale", String(isStale(row.tradeAge)));
    setData(this.quote, "stale", String(isStale(row.quoteAge)));
    this.write("trouble", row.rejected === undefined ? "" : rejection(row.rejected));
    setHidden(this.parts["trouble"]!, row.rejected === undefined);
    setHidden(this.empty, sales.length > 0);

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

function rejection(code: number): string {
  const again = code === Code.unknownSymbol ? "It is asked for again every ten seconds." : "";
  const words = formatRejection(code);
  return `The node does not send this symbol: ${words}. ${again}`;
}

function scale(bar: HTMLElement, share: number): void {
  const transform = `scaleX(${share.toFixed(2)})`;
  if (bar.style.transform !== transform) bar.style.transform = transform;
}

function newLine(): HTMLTableRowElement {
  const tr = document.createElement("tr");
  for (let i = 0; i < 4; i++) tr.insertCell();
  return tr;
}

function writeSale(tr: HTMLTableRowElement, sale: Sale, decimals: number): void {
  const [time, side, price, size] = tr.cells;
  setData(tr, "id", String(sale.id));
  setData(tr, "from", String(sale.from));
  setData(tr, "to", String(sale.to));
  setData(tr, "kind", sale.kind);
  setData(tr, "side", sale.side);
  setText(time!, formatClock(sale.timeMs));
  setText(side!, sale.kind === "trade" && sale.side !== "unknown" ? sale.side : "");
  if (sale.kind === "gap") {
    setText(price!, formatMissing(sale.count, sale.reason));
    setText(size!, sale.reason);
  } else {
    setText(price!, formatPrice(sale.price, decimals));
    setText(size!, formatSize(sale.size) + (sale.kind === "sum" ? ` in ${formatCount(sale.count)}` : ""));
  }
}
