// The watchlist in the page's own URL (?symbols=A,B), so that it can be kept and passed on. Names are
// escaped one by one: a comma inside a name is legal and must not part it.

/** Returns the symbols in the order given, each once, or undefined where the URL does not say. */
export function readSymbols(search: string): string[] | undefined {
  const field = search
    .replace(/^\?/, "")
    .split("&")
    .find((f) => f.startsWith("symbols="));
  if (field === undefined) return undefined;
  const names = field.slice("symbols=".length).split(",").map(unescape);
  return [...new Set(names.map((n) => n.trim()).filter((n) => n !== ""))];
}

export function writeSymbols(symbols: Iterable<string>): string {
  return "?symbols=" + [...symbols].map(encodeURIComponent).join(",");
}

function unescape(name: string): string {
  const spaced = name.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced; // a lone %, typed by hand
  }
}
