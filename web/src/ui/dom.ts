// The document is written only where it differs: at thousands of events a second most of it stays as it
// is, and a write that changes nothing still costs a layout.

export function find<T extends Element>(
  selector: string,
  type: new () => T,
  within: ParentNode = document,
): T {
  const element = within.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} ${selector}`);
  return element;
}

export function byId(id: string): HTMLElement {
  return find(`#${id}`, HTMLElement);
}

const texts = new WeakMap<Element, string>();

/** Writes text that nobody else writes. */
export function setText(element: Element, text: string): void {
  if (texts.get(element) === text) return;
  texts.set(element, text);
  element.textContent = text;
}

export function setData(element: HTMLElement, name: string, value: string): void {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function setHidden(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Shows which of a group's buttons holds, and calls `chosen` when another is pressed. */
export class Choice {
  private readonly buttons: HTMLButtonElement[];

  constructor(group: HTMLElement, chosen: (value: string) => void) {
    this.buttons = [...group.querySelectorAll("button")];
    for (const button of this.buttons) {
      button.addEventListener("click", () => {
        this.set(button.value);
        chosen(button.value);
      });
    }
  }

  set(value: string): void {
    for (const button of this.buttons) setAttribute(button, "aria-pressed", String(button.value === value));
  }
}
