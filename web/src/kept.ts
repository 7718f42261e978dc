// What the browser keeps from one visit to the next. A reader may forbid it: every access then throws,
// and the page does without.

export function kept(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keep(name: string, text: string): void {
  try {
    localStorage.setItem(name, text);
  } catch {
    // Lasts as long as the page.
  }
}
