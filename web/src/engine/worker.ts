// The engine's thread.

import type { ToEngine } from "../messages";
import { Engine } from "./engine";

let engine: Engine | undefined;

self.onmessage = ({ data }: MessageEvent<ToEngine>) => {
  if (data.do !== "open") engine?.handle(data);
  else
    engine = new Engine((frame) => self.postMessage(frame), data.url, data.starred, data.view, data.delivery);
};
