import { keep, kept } from "../kept";
import { byId, setText } from "./dom";

const themes = ["system", "light", "dark"] as const;
type Name = (typeof themes)[number];

/** The reader's choice of colours, kept in this browser. */
export class Theme {
  private name: Name;
  private readonly button = byId("theme");

  constructor(private readonly changed: () => void) {
    this.name = themes.find((name) => name === kept("theme")) ?? "system";
    this.button.addEventListener("click", () => {
      this.name = themes[(themes.indexOf(this.name) + 1) % themes.length]!;
      keep("theme", this.name);
      this.apply();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
    this.apply();
  }

  private apply(): void {
    document.documentElement.dataset["theme"] = this.name;
    setText(this.button, `Theme: ${this.name}`);
    this.changed();
  }
}
