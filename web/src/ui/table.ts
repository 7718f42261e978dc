import {
  formatAge,
  formatChange,
  formatMissed,
  formatPrice,
  formatRejection,
  formatVolume,
  isStale,
} from "../format";
import type { Frame, RowView, SortKey } from "../messages";
import { byId, find, setAttribute, setData, setText } from "./dom";

const fields = ["last", "change", "bid", "ask", "volume", "age"] as const;
type Field = (typeof fields)[number];

// Rows beyond the edges, so that a quick hand finds them there.
const overscan = 8;
// A flash that fades would have the browser paint every row in every frame of it.
const flashMs = 300;

interface Line {
  tr: HTMLTableRowElement;
  star: HTMLButtonElement;
  name: HTMLElement;
  note: HTMLElement;
  cells: Record<Field, HTMLTableCellElement>;
  moves: number;
  flashedAt: number; // 0 where it does not flash
}

export interface TableOwner {
  /** Other rows are on the screen, or should be in another order. */
  viewChanged(): void;
  select(symbol: string): void;
  /** Shows the symbol, also where that takes the watchlist's place. */
  open(symbol: string): void;
  star(symbol: string, on: boolean): void;
}

/** The watchlist: as many lines as fit the screen, whatever the number of symbols. */
export class Table {
  sort: { key: SortKey; descending: boolean } = { key: "symbol", descending: false };
  private readonly scroll = byId("scroll");
  private readonly grid = byId("grid");
  private readonly body = find("#rows", HTMLTableSectionElement);
  private readonly above = byId("above");
  private readonly below = byId("below");
  private readonly lines: Line[] = [];
  private frame: Pick<Frame, "rows" | "from" | "total"> = { rows: [], from: 0, total: 0 };
  private selected = "";
  private edge: "first" | "last" | undefined; // to select once it is on the screen
  private lineHeight = 30; // px; the style sheet's

  constructor(private readonly owner: TableOwner) {
    this.scroll.addEventListener("scroll", () => owner.viewChanged(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(this.scroll);
    this.grid.addEventListener("keydown", (key) => this.key(key));
    this.body.addEventListener("click", (click) => this.click(click.target as Element));
    for (const head of this.grid.querySelectorAll<HTMLElement>("th[data-sort]")) {
      head.addEventListener("click", () => this.sortBy(head.dataset["sort"] as SortKey));
    }
  }

  /** The rows on the screen, and some more at each end. */
  range(): { from: number; count: number } {
    const from = Math.max(0, Math.floor(this.scroll.scrollTop / this.lineHeight) - overscan);
    return { from, count: Math.ceil(this.scroll.clientHeight / this.lineHeight) + 2 * overscan };
  }

  /** `now` is in ms of performance.now(). */
  paint(frame: Pick<Frame, "rows" | "from" | "total">, selected: string, now: number): void {
    this.frame = frame;
    this.selected = selected;
    while (this.lines.length < frame.rows.length) this.addLine();
    while (this.lines.length > frame.rows.length) this.lines.pop()!.tr.remove();
    for (const [i, row] of frame.rows.entries()) this.paintLine(this.lines[i]!, row, frame.from + i, now);
    setHeight(this.above, frame.from * this.lineHeight);
    setHeight(this.below, (frame.total - frame.from - frame.rows.length) * this.lineHeight);
    setAttribute(this.grid, "aria-rowcount", String(frame.total + 1));
    this.selectEdge();
  }

  // Not while painting: it would make the browser lay out what is about to change.
  private measure(): void {
    this.lineHeight = parseFloat(getComputedStyle(this.scroll).getPropertyValue("--line-height"));
    this.owner.viewChanged();
  }

  rejects(symbol: string): boolean {
    return this.frame.rows.some((row) => row.symbol === symbol && row.rejected !== undefined);
  }

  private paintLine(line: Line, row: RowView, index: number, now: number): void {
    const { tr, cells } = line;
    const other = tr.dataset["symbol"] !== row.symbol;
    if (other) {
      setData(tr, "symbol", row.symbol);
      setText(line.name, row.symbol);
      setData(tr, "flash", "");
      line.flashedAt = 0;
    } else if (line.moves !== row.moves) {
      setData(tr, "flash", row.up ? "up" : "down");
      line.flashedAt = now;
    } else if (line.flashedAt > 0 && now - line.flashedAt >= flashMs) {
      setData(tr, "flash", "");
      line.flashedAt = 0;
    }
    line.moves = row.moves;
    const selected = row.symbol === this.selected;
    setAttribute(tr, "aria-selected", String(selected));
    if (selected) setAttribute(this.grid, "aria-activedescendant", tr.id);
    setAttribute(tr, "aria-rowindex", String(index + 2));
    setAttribute(line.star, "aria-pressed", String(row.starred));
    setAttribute(line.star, "aria-label", `Star ${row.symbol}`);
    const rejected = row.rejected !== undefined;
    setData(tr, "rejected", String(rejected));
    setText(
      line.note,
      rejected ? formatRejection(row.rejected!) : row.missed > 0 ? `−${formatVolume(row.missed)}` : "",
    );
    setAttribute(line.note, "title", row.missed > 0 ? `${formatMissed(row.missed)} trades missed` : "");
    const change = formatChange(row.change);
    setData(tr, "moved", change.startsWith("+") ? "up" : change.startsWith("-") ? "down" : "flat");
    setData(tr, "stale", String(isStale(row.tradeAge)));
    setData(tr, "staleQuote", String(isStale(row.quoteAge)));
    setCell(cells.last, row.last, formatPrice(row.last, row.decimals));
    setCell(cells.change, row.change, change);
    setCell(cells.bid, row.bid, formatPrice(row.bid, row.decimals));
    setCell(cells.ask, row.ask, formatPrice(row.ask, row.decimals));
    setCell(cells.volume, row.volume, formatVolume(row.volume));
    const age = row.tradeAge ?? row.quoteAge;
    setCell(cells.age, age, formatAge(age));
  }

  private addLine(): void {
    const tr = document.createElement("tr");
    tr.id = `row-${this.lines.length}`;
    tr.setAttribute("role", "row");
    const star = document.createElement("button");
    star.type = "button";
    star.tabIndex = -1; // the key s does it; a tab stop per row would be thousands
    star.textContent = "★";
    const first = tr.insertCell();
    first.setAttribute("role", "gridcell");
    first.append(star);
    const head = document.createElement("th");
    head.setAttribute("role", "rowheader");
    const name = document.createElement("span");
    const note = document.createElement("small");
    note.dataset["field"] = "note";
    head.append(name, note);
    tr.append(head);
    const cells = {} as Line["cells"];
    for (const field of fields) {
      cells[field] = tr.insertCell();
      cells[field].setAttribute("role", "gridcell");
      cells[field].dataset["field"] = field;
    }
    this.body.append(tr);
    this.lines.push({ tr, star, name, note, cells, moves: 0, flashedAt: 0 });
  }

  private click(target: Element): void {
    const tr = target.closest("tr");
    const symbol = tr?.dataset["symbol"];
    if (symbol === undefined) return;
    if (target.closest("button")) this.toggleStar(symbol);
    else this.owner.open(symbol);
  }

  private toggleStar(symbol: string): void {
    const row = this.frame.rows.find((row) => row.symbol === symbol);
    if (row) this.owner.star(symbol, !row.starred);
  }

  private sortBy(key: SortKey): void {
    // What a reader looks for in a number is mostly at its upper end.
    const descending = this.sort.key === key ? !this.sort.descending : key !== "symbol" && key !== "age";
    this.sort = { key, descending };
    for (const head of this.grid.querySelectorAll<HTMLElement>("th[data-sort]")) {
      const sorted =
        head.dataset["sort"] === key ? (this.sort.descending ? "descending" : "ascending") : "none";
      setAttribute(head, "aria-sort", sorted);
    }
    this.scroll.scrollTop = 0;
    this.owner.viewChanged();
  }

  private key(key: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[key.key];
    if (step !== undefined) {
      const { rows } = this.frame;
      const at = rows.findIndex((row) => row.symbol === this.selected);
      const next = at < 0 ? this.firstInSight() : at + step;
      const row = rows[next];
      if (row) this.choose(row.symbol, next);
    } else if (key.key === "Home" || key.key === "End") {
      this.edge = key.key === "Home" ? "first" : "last";
      this.scroll.scrollTop = key.key === "Home" ? 0 : this.scroll.scrollHeight;
      this.selectEdge();
    } else if (key.key === "s" && this.selected !== "") {
      this.toggleStar(this.selected);
    } else {
      return;
    }
    key.preventDefault();
  }

  private firstInSight(): number {
    return Math.max(0, Math.ceil(this.scroll.scrollTop / this.lineHeight) - this.frame.from);
  }

  private selectEdge(): void {
    const { rows, from, total } = this.frame;
    const index = this.edge === "first" ? 0 : total - 1;
    const row = rows[index - from];
    if (this.edge === undefined || !row) return;
    this.edge = undefined;
    this.choose(row.symbol, index - from);
  }

  private choose(symbol: string, index: number): void {
    this.selected = symbol; // the next key may come before the next frame
    this.lines[index]?.tr.scrollIntoView({ block: "nearest" });
    this.owner.select(symbol);
  }
}

function setCell(cell: HTMLTableCellElement, value: number | undefined, text: string): void {
  setData(cell, "value", value === undefined ? "" : String(value));
  setText(cell, text);
}

function setHeight(element: HTMLElement, height: number): void {
  const px = `${Math.max(0, height)}px`;
  if (element.style.height !== px) element.style.height = px;
}
