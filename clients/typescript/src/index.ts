export { Client, connect, type ClientEvents, type ConnectOptions, type Pong } from "./client.js";
export {
  Code,
  date,
  millis,
  TickcastError,
  type Aggregate,
  type Bar,
  type Bye,
  type Channel,
  type Gap,
  type GapReason,
  type Hello,
  type Hop,
  type Hops,
  type MarketEvent,
  type Nanos,
  type Quote,
  type Rejected,
  type Side,
  type Snapshot,
  type Stat,
  type Trade,
} from "./events.js";
export type { State } from "./link.js";
export type {
  DeliveryOptions,
  Handler,
  QuotePolicy,
  SubscribeOptions,
  Subscription,
  TradePolicy,
} from "./subscription.js";
export { expiryOf, type TokenSource } from "./token.js";
export type { WebSocketMaker, WorkerLike } from "./transport.js";
