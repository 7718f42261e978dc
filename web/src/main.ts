// The page: asks its engine for a frame, paints it, and passes on what the reader does. What moves is
// written in one place, once per animation frame.

import { Code, type DeliveryOptions } from "tickcast";
import { readSymbols, writeSymbols } from "./address";
import { formatBytes, formatCount } from "./format";
import { keep, kept } from "./kept";
import type { BoardView, Frame, LinkState, ToEngine } from "./messages";
import { Samples } from "./samples";
import { Banner, troubleOf } from "./ui/banner";
import { Chart } from "./ui/chart";
import { DetailView } from "./ui/detail";
import { byId, Choice, setAttribute, setData, setHidden, setText } from "./ui/dom";
import { LinkView } from "./ui/link";
import { Table } from "./ui/table";
import { Theme } from "./ui/theme";

const engine = new Worker(new URL("./engine/worker.ts", import.meta.url), { type: "module" });
const tell = (message: ToEngine) => engine.postMessage(message);

const asked = readSymbols(location.search);
let scope: BoardView["scope"] = asked ? "starred" : "all";
let starred = asked ?? stored();
let seconds = 1;
let selected = "";
let slow = false;
let frame: Frame | undefined;
let framed = false;
let frameAsked = false; // for the next frame: one at a time, or one could replace another that was not painted yet
let finding = false; // Enter was pressed, and the engine has not answered the search yet
const toScreen = new Samples();

const query = byId("query") as HTMLInputElement;
const interval = byId("interval") as HTMLSelectElement;
const policy = byId("policy") as HTMLSelectElement;
const table = new Table({ viewChanged, select, open: show, star });
const detail = new DetailView();
const chart = new Chart(byId("chart"));
const link = new LinkView();
const banner = new Banner(
  () => tell({ do: "retry" }),
  (token) => tell({ do: "token", token }),
);
new Theme(() => chart.dress());
const scopes = new Choice(byId("scope"), (value) => enter(value as BoardView["scope"]));
new Choice(byId("seconds"), (value) => {
  seconds = Number(value);
  tell({ do: "select", symbol: selected, seconds });
});
const tabs = new Choice(byId("tabs"), open);

engine.onmessage = ({ data }: MessageEvent<Frame>) => {
  frame = data;
  frameAsked = false;
  schedule();
};
interval.addEventListener("change", deliver);
policy.addEventListener("change", deliver);
byId("slow").addEventListener("click", () => tell({ do: "slow", on: !slow }));
byId("drop").addEventListener("click", () => tell({ do: "drop" }));
query.addEventListener("input", () => {
  byId("scroll").scrollTop = 0;
  viewChanged();
});
byId("find").addEventListener("submit", (submit) => {
  submit.preventDefault();
  finding = true;
  viewChanged();
});
document.addEventListener("keydown", (key) => {
  const typing = key.target instanceof HTMLInputElement || key.target instanceof HTMLSelectElement;
  if (key.key === "/" && !typing) {
    key.preventDefault();
    open("watch");
    query.focus();
  } else if (key.key === "Escape" && key.target === query) {
    query.value = "";
    viewChanged();
    byId("grid").focus({ preventScroll: true });
  }
});
addEventListener("online", () => tell({ do: "retry" }));
addEventListener("offline", schedule);

scopes.set(scope);
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const url = `${scheme}//${location.host}/v1/stream`;
tell({ do: "open", url, starred, view: view(), delivery: delivery() });
ask();

function view(): BoardView {
  return { scope, query: query.value, sort: table.sort, ...table.range() };
}

function viewChanged(): void {
  tell({ do: "view", view: view() });
}

function delivery(): DeliveryOptions {
  return {
    intervalMs: Number(interval.value),
    ...(policy.value !== "" && { policy: { trade: policy.value as "drop_oldest" } }),
  };
}

function deliver(): void {
  tell({ do: "deliver", delivery: delivery() });
}

function select(symbol: string): void {
  if (symbol === selected) return;
  selected = symbol;
  tell({ do: "select", symbol, seconds });
  schedule();
}

function show(symbol: string): void {
  select(symbol);
  open("chart");
}

function star(symbol: string, on: boolean): void {
  starred = on ? [...starred, symbol] : starred.filter((name) => name !== symbol);
  tell({ do: "star", symbol, on });
  if (symbol === selected && table.rejects(symbol)) selected = ""; // there is nothing more to see of it
  remember();
}

function enter(next: BoardView["scope"]): void {
  scope = next;
  scopes.set(scope);
  byId("scroll").scrollTop = 0;
  viewChanged();
  remember();
}

/** The part of the page that a small screen shows. */
function open(tab: string): void {
  tabs.set(tab);
  setData(document.body, "tab", tab);
}

/** Enter in the search: opens what it found, or watches a name that nobody knows yet. */
function found({ rows }: Frame): void {
  finding = false;
  const name = query.value.trim();
  if (name === "") return;
  const row = rows.find(({ symbol }) => symbol.toUpperCase() === name.toUpperCase()) ?? rows[0];
  const symbol = row?.symbol ?? name;
  if (scope === "starred" || !row) {
    if (!starred.includes(symbol)) star(symbol, true);
    enter("starred");
  }
  query.value = "";
  viewChanged();
  byId("grid").focus({ preventScroll: true });
  show(symbol);
}

/** The list is the reader's own: it stays in the address, to be passed on, and in this browser. */
function remember(): void {
  keep("starred", JSON.stringify(starred));
  history.replaceState(null, "", scope === "starred" ? writeSymbols(starred) : location.pathname);
}

function stored(): string[] {
  try {
    const list: unknown = JSON.parse(kept("starred") ?? "[]");
    return Array.isArray(list) ? list.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}

// A hidden page gets no animation frames, and so asks for no frames of the engine's either.
function schedule(): void {
  if (framed) return;
  framed = true;
  requestAnimationFrame(paint);
}

function paint(): void {
  framed = false;
  const next = frame;
  if (!next) return;
  if (finding && next.query === query.value) found(next);
  if (selected === "" && next.rows[0]) select(next.rows[0].symbol);
  const { state } = next.status;
  slow = next.status.slow;
  setData(document.body, "state", wordOf(state));
  setText(byId("state"), signedOut(state) ? "signed out" : wordOf(state));
  setText(byId("where"), "hello" in state ? `node ${state.hello.node} · session ${state.hello.session}` : "");
  if (next.quality) {
    const { eventsPerSecond, bytesPerSecond } = next.quality;
    setText(byId("pulse"), `${formatCount(eventsPerSecond)} events/s · ${formatBytes(bytesPerSecond)}/s`);
    link.paint(next.quality, toScreen.read());
  }
  setText(byId("total"), formatCount(next.total));
  setAttribute(byId("slow"), "aria-pressed", String(slow));
  banner.paint(troubleOf(next.status, navigator.onLine, Date.now()));
  table.paint(next, selected, performance.now());
  const nothing = emptiness(next);
  setHidden(byId("empty"), nothing === "");
  setText(byId("empty"), nothing);
  if (next.detail?.row.symbol === selected) {
    detail.paint(next.detail);
    chart.paint(next.detail);
  }
  link.tell(next.notices);
  if (next.readAt > 0) toScreen.add(performance.timeOrigin + performance.now() - next.readAt);
  frame = { ...next, notices: [], readAt: 0, quality: undefined, detail: undefined }; // painted once
  ask();
}

function ask(): void {
  if (frameAsked) return;
  frameAsked = true;
  tell({ do: "frame" });
}

function wordOf(state: LinkState): string {
  return state.kind === "waiting" ? "reconnecting" : state.kind;
}

function signedOut(state: LinkState): boolean {
  return state.kind === "closed" && state.error?.code === Code.unauthenticated;
}

function emptiness({ total, status }: Frame): string {
  if (total > 0) return "";
  const name = query.value.trim();
  if (name !== "") return `No symbol has “${name}” in its name. Enter watches it all the same.`;
  if (scope === "starred") return "Nothing is starred yet: search for a symbol, or star some under All.";
  if (signedOut(status.state)) return "Prices come with a token.";
  return status.state.kind === "live" ? "Waiting for the first symbols." : "Nothing to show yet.";
}
