// The watchlist page: wires the link, the session and the view together, and paints once a frame.

import { readSymbols, writeSymbols } from "./address";
import { formatCount, formatMissed } from "./format";
import { Link, type LinkState } from "./link";
import type { StreamEvent } from "./protocol";
import { Session } from "./session";
import { View } from "./view";
import type { Row } from "./watchlist";

const defaultSymbols = 30;
const tickMs = 1000;
const listWithinMs = 10_000;

const dirty = new Set<Row>();
let framed = false;
let state: LinkState = { kind: "connecting" };
let listed = false; // the URL, the reader or the node has settled which symbols to show
let listing = false;
let listFault = "";
let rate = { events: 0, at: performance.now(), text: "" };

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const link = new Link(`${scheme}//${location.host}/v1/stream`, { stateChanged, received });
const session = new Session((request) => link.send(request));
const view = new View(add, remove);

const asked = readSymbols(location.search);
if (asked) {
  listed = true;
  show(asked);
}
link.start();
setTimeout(tick, tickMs);

function stateChanged(next: LinkState): void {
  if (state.kind === "live") session.closed();
  state = next;
  if (next.kind === "live") {
    session.opened();
    void list();
  }
  schedule();
}

function received(events: StreamEvent[]): void {
  for (const row of session.receive(events, performance.now())) dirty.add(row);
  schedule();
}

function add(symbol: string): void {
  show([symbol]);
  keep();
  view.reveal(symbol);
}

function remove(symbol: string): void {
  const row = session.list.rows.get(symbol);
  if (row) dirty.delete(row);
  session.remove(symbol);
  view.removeRow(symbol);
  keep();
}

function show(symbols: string[]): void {
  session.add(symbols);
  for (const symbol of symbols) {
    const row = session.list.rows.get(symbol);
    if (row) view.paintRow(row, performance.now());
  }
}

/** The reader has changed the list: from now on it is theirs. */
function keep(): void {
  listed = true;
  history.replaceState(null, "", writeSymbols(session.list.rows.keys()));
}

/**
 * Without a choice of the reader's own: the first symbols that the node knows. One that has just
 * started learns them bit by bit, so it is asked until it names enough, or no more than before.
 */
async function list(): Promise<void> {
  if (listed || listing) return;
  listing = true;
  try {
    const response = await fetch("/v1/symbols", { signal: AbortSignal.timeout(listWithinMs) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const known = ((await response.json()) as { symbol: string }[]).map((k) => k.symbol);
    if (listed) return; // the reader was faster
    listFault = known.length === 0 ? "the node knows no symbols yet" : "";
    const rows = session.list.rows;
    const more = known.filter((s) => !rows.has(s)).slice(0, defaultSymbols - rows.size);
    show(more);
    listed = rows.size >= defaultSymbols || (known.length > 0 && more.length === 0);
  } catch (error) {
    listFault = `no list of symbols: ${String(error)}`;
  } finally {
    listing = false;
  }
  schedule();
}

/** Ages and rates move on without events. */
function tick(): void {
  const now = performance.now();
  const events = session.list.events;
  const perSecond = ((events - rate.events) / (now - rate.at)) * 1000;
  rate = { events, at: now, text: `${formatCount(perSecond)} events/s` };
  if (state.kind === "live") void list();
  for (const row of session.list.rows.values()) dirty.add(row);
  schedule();
  setTimeout(tick, tickMs); // an interval would catch up after a stall, with rates over no time
}

// A hidden page gets no frames: the set then holds each row at most once until it is seen again.
function schedule(): void {
  if (framed) return;
  framed = true;
  requestAnimationFrame(paint);
}

function paint(): void {
  framed = false;
  const now = performance.now();
  for (const row of dirty) view.paintRow(row, now);
  dirty.clear();
  view.paintStatus({ state: state.kind, detail: detail(now), facts: facts() });
}

function detail(now: number): string {
  switch (state.kind) {
    case "connecting":
      return "";
    case "live":
      return session.refused || (listed ? "" : listFault);
    case "reconnecting": {
      const seconds = Math.ceil((state.at - now) / 1000);
      return `${seconds > 0 ? `in ${seconds} s` : "now"}: ${state.why}`;
    }
  }
}

function facts(): string {
  const { gaps, missed } = session.list;
  const where = state.kind === "live" ? [`node ${state.hello.node}`, `session ${state.hello.session}`] : [];
  const lost = [`gaps: ${formatCount(gaps)}`, `trades missed: ${formatMissed(missed)}`];
  return [...where, rate.text, ...lost].filter((fact) => fact !== "").join(" · ");
}
