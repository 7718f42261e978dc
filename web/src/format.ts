// Numbers as text. One locale for all readers: a price that is quoted to a colleague must look the
// same on their screen.

const locale = "en-US";
// Beyond this the digits are the noise of a float, not the venue's.
const decimalsMax = 10;
const none = "–";

const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumSignificantDigits: 3 });
const significant = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

const formats = new Map<string, Intl.NumberFormat>();

// Kept, because making one costs more than using it a hundred times.
function fixed(min: number, max: number): Intl.NumberFormat {
  const key = `${min}-${max}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { minimumFractionDigits: min, maximumFractionDigits: max });
    formats.set(key, format);
  }
  return format;
}

/** How many decimals the shortest way to write `value` has. */
export function decimalsOf(value: number): number {
  const [digits = "", exponent = "0"] = String(value).split("e");
  const fraction = digits.split(".")[1]?.length ?? 0;
  return Math.min(decimalsMax, Math.max(0, fraction - Number(exponent)));
}

/** A price with the instrument's decimals; a dash for one not known, or 0, an empty side. */
export function formatPrice(price: number | undefined, decimals: number): string {
  return price ? fixed(decimals, decimals).format(price) : none;
}

export function formatSize(size: number | undefined): string {
  return size === undefined ? none : fixed(0, decimalsMax).format(size);
}

/** The change from first to last in percent, or undefined where there is none to tell. */
export function changeOf(first: number | undefined, last: number | undefined): number | undefined {
  return first && last !== undefined ? ((last - first) / Math.abs(first)) * 100 : undefined;
}

/** The sign is always there, so that direction does not hang on colour. */
export function formatChange(percent: number | undefined): string {
  if (percent === undefined) return none;
  const text = fixed(2, 2).format(Math.abs(percent));
  const sign = text === "0.00" ? "" : percent > 0 ? "+" : "-";
  return `${sign}${text} %`;
}

export function formatAge(seconds: number | undefined): string {
  if (seconds === undefined) return none;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A price so old, in seconds, is told to be. */
export function isStale(seconds: number | undefined): boolean {
  return seconds !== undefined && seconds >= 30;
}

export function formatCount(n: number): string {
  return fixed(0, 0).format(n);
}

/** A volume with at most three digits: its size is what matters. */
export function formatVolume(volume: number | undefined): string {
  return volume ? compact.format(volume) : none;
}

/** A time of day with milliseconds, on the reader's own clock. */
export function formatClock(unixMs: number): string {
  return clock.format(unixMs);
}

/** Milliseconds, with a fraction only where it says something. */
export function formatMs(ms: number | undefined): string {
  if (ms === undefined) return none;
  if (ms >= 10_000) return `${fixed(1, 1).format(ms / 1000)} s`;
  return `${Math.abs(ms) < 10 ? fixed(1, 1).format(ms) : formatCount(ms)} ms`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${formatCount(bytes)} B`;
  if (bytes < 1e6) return `${fixed(0, bytes < 1e4 ? 1 : 0).format(bytes / 1e3)} kB`;
  return `${fixed(1, 1).format(bytes / 1e6)} MB`;
}

/**
 * A count of missed trades. "Up to", because a gap counts numbers: a node that lost its history
 * cannot tell which of them were never used.
 */
export function formatMissed(n: number): string {
  return n === 0 ? "0" : `up to ${formatCount(n)}`;
}

/** The same where there is no room: the exact count of what a slow client missed, or the most it can be. */
export function formatMissing(n: number, reason: string): string {
  return `${reason === "slow" ? "" : "≤ "}${formatCount(n)} missed`;
}

/** The spread in the quote's units, and in hundredths of a percent of the middle. */
export function formatSpread(bid: number, ask: number, decimals: number): string {
  const points = ((ask - bid) / ((ask + bid) / 2)) * 10_000;
  return `${fixed(decimals, decimals).format(ask - bid)} (${significant.format(points)} bp)`;
}

/** What the page says in the row of a rejected symbol. */
export function formatRejection(code: number): string {
  const words: Record<number, string> = {
    4401: "not signed in",
    4403: "not allowed",
    4404: "unknown symbol",
    4413: "too many symbols",
  };
  return `${words[code] ?? "refused"} (${code})`;
}
