// A real node for tests: the streamer with its demo feed, and a relay to cut.

import { spawn } from "node:child_process";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { inject } from "vitest";

export interface TestNode {
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** Resolves when the node is ready. */
export async function startNode(...more: string[]): Promise<TestNode> {
  const addresses = ["--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"];
  const child = spawn(inject("streamer"), ["--demo", ...addresses, "--log-format", "json", ...more], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const log: string[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    createInterface(child.stderr).on("line", (text) => {
      log.push(text);
      const line = JSON.parse(text) as { msg?: string; addr?: string };
      if (line.msg === "ready") resolve(Number(line.addr?.split(":").at(-1)));
    });
    void gone.then(() => reject(new Error(`the node ended: ${log.join("\n")}`)));
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await gone;
  };
  return { port, url: `ws://127.0.0.1:${port}/v1/stream`, stop };
}

/** A relay between clients and a port, whose connections can be cut in the middle of a message. */
export class Relay {
  private readonly pairs = new Set<Socket>();
  private readonly server = createServer((near) => {
    const far = connect(this.port, "127.0.0.1");
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      this.pairs.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        this.pairs.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });

  constructor(private readonly port: number) {}

  /** Returns the address of a stream by way of the relay. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1/stream`;
  }

  cut(): void {
    for (const socket of this.pairs) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
