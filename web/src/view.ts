// The document: rows that are written only where they changed, and the status line.

import {
  changeOf,
  formatAge,
  formatChange,
  formatMissed,
  formatPrice,
  formatRejection,
  formatSize,
} from "./format";
import type { Row } from "./watchlist";

const fields = ["last", "size", "bid", "ask", "change", "age"] as const;
type Field = (typeof fields)[number];

interface Line {
  tr: HTMLTableRowElement;
  note: HTMLElement;
  cells: Record<Field, HTMLTableCellElement>;
}

export interface Status {
  state: "connecting" | "live" | "reconnecting";
  /** Why, and for how long yet. */
  detail: string;
  /** What is known of the connection and its traffic. */
  facts: string;
}

export class View {
  private readonly lines = new Map<string, Line>();
  private readonly body = find("rows", HTMLTableSectionElement);
  private readonly state = find("state", HTMLElement);
  private readonly detail = find("detail", HTMLElement);
  private readonly facts = find("facts", HTMLElement);

  constructor(
    add: (symbol: string) => void,
    private readonly remove: (symbol: string) => void,
  ) {
    const form = find("add", HTMLFormElement);
    const input = find("symbol", HTMLInputElement);
    form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      const symbol = input.value.trim();
      if (symbol !== "") add(symbol);
      input.value = "";
    });
  }

  /** Writes the row, making its line where there is none. `now` is in the same ms as heardAt. */
  paintRow(row: Row, now: number): void {
    const { tr, note, cells } = this.lines.get(row.symbol) ?? this.addLine(row.symbol);
    const change = changeOf(row.first, row.last);
    const age = row.heardAt === undefined ? undefined : Math.floor((now - row.heardAt) / 1000);
    const changeText = formatChange(change);
    tr.dataset["moved"] = changeText.startsWith("+") ? "up" : changeText.startsWith("-") ? "down" : "flat";
    setText(note, noteOf(row));
    setCell(cells.last, row.last, formatPrice(row.last, row.decimals));
    setCell(cells.size, row.size, formatSize(row.size));
    setCell(cells.bid, row.bid, formatPrice(row.bid, row.decimals));
    setCell(cells.ask, row.ask, formatPrice(row.ask, row.decimals));
    setCell(cells.change, change, changeText);
    setCell(cells.age, age, formatAge(age));
  }

  removeRow(symbol: string): void {
    this.lines.get(symbol)?.tr.remove();
    this.lines.delete(symbol);
  }

  reveal(symbol: string): void {
    this.lines.get(symbol)?.tr.scrollIntoView({ block: "nearest" });
  }

  paintStatus(status: Status): void {
    document.body.dataset["state"] = status.state;
    setText(this.state, status.state);
    setText(this.detail, status.detail);
    setText(this.facts, status.facts);
  }

  private addLine(symbol: string): Line {
    const tr = document.createElement("tr");
    tr.dataset["symbol"] = symbol;

    const name = document.createElement("th");
    name.scope = "row";
    const note = document.createElement("small");
    note.dataset["field"] = "note";
    name.append(symbol, note);
    tr.append(name);

    const cells = {} as Line["cells"];
    for (const field of fields) {
      const cell = tr.insertCell();
      cell.dataset["field"] = field;
      cells[field] = cell;
    }

    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "✕";
    button.setAttribute("aria-label", `Remove ${symbol}`);
    button.addEventListener("click", () => this.remove(symbol));
    tr.insertCell().append(button);

    const line = { tr, note, cells };
    this.lines.set(symbol, line);
    this.body.append(tr);
    return line;
  }
}

function noteOf(row: Row): string {
  if (row.rejected !== undefined) return formatRejection(row.rejected);
  return row.missed > 0 ? `${formatMissed(row.missed)} missed` : "";
}

// The document is written only where it differs: at a thousand events a second most cells of most
// frames stay as they are, and a write that changes nothing still costs a layout.
function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function setCell(cell: HTMLTableCellElement, value: number | undefined, text: string): void {
  const raw = value === undefined ? "" : String(value);
  if (cell.dataset["value"] !== raw) cell.dataset["value"] = raw;
  setText(cell, text);
}

function find<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return element;
}
