import { Agent, request } from "node:http";
import { setTimeout } from "node:timers/promises";
import { type Figure, figure } from "../figure.ts";
import type { ServerProcess } from "../server-process.ts";
import { grpcSender, HTTP_REQUEST, startSlow } from "./slow-model.ts";

const CONNECTIONS = 16;
const CALLS = 16;

interface Outcome {
  answered: number;
  /** Never sent: there was no server to connect to any more. */
  unsent: number;
  /** Sent, and not answered. */
  lost: number;
  readonly faults: Set<string>;
}

/** Ends a server with SIGTERM in the middle of its work, `rounds` times, and counts what nobody answered. */
export async function measureStops(rounds: number): Promise<Figure[]> {
  const http: Outcome = { answered: 0, unsent: 0, lost: 0, faults: new Set() };
  const grpc: Outcome = { answered: 0, unsent: 0, lost: 0, faults: new Set() };
  let badExits = 0;
  for (let round = 0; round < rounds; round++) {
    const server = await startSlow();
    const load = [...httpLoad(server, http), ...grpcLoad(server, grpc)];
    // Another moment of the requests each time.
    await setTimeout(150 + round * 3);
    if ((await server.stop()) !== 0) badExits += 1;
    await Promise.all(load);
  }
  for (const fault of [...http.faults, ...grpc.faults]) console.error(`lost: ${fault}`);
  return [
    figure(`${rounds} stops under load, HTTP requests answered`, http.answered, "", undefined, 0),
    figure(`${rounds} stops under load, HTTP requests lost`, http.lost, "", ["<=", 0], 0),
    figure(`${rounds} stops under load, gRPC calls answered`, grpc.answered, "", undefined, 0),
    figure(`${rounds} stops under load, gRPC calls lost`, grpc.lost, "", ["<=", 0], 0),
    figure(`${rounds} stops under load, exit codes other than 0`, badExits, "", ["<=", 0], 0),
  ];
}

/** Clients that send until there is no server; none of them is told that it stops. */
function httpLoad({ ready, exit }: ServerProcess, outcome: Outcome): Promise<void>[] {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const ended = exit.then(() => agent.destroy());
  const [host, port] = ready.http.split(":");
  const { body, ...fields } = HTTP_REQUEST;
  const send = () =>
    new Promise<void>((resolve, reject) => {
      const sent = request({ agent, host, port, ...fields }, (answer) => {
        answer.on("error", reject).on("end", () => {
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`answered with ${answer.statusCode}`));
        });
        answer.resume();
      });
      sent.on("error", reject).end(body);
    });
  const refused = (error: NodeJS.ErrnoException) => error.code === "ECONNREFUSED";
  return [ended, ...Array.from({ length: CONNECTIONS }, () => sendUntilRefused(send, refused, outcome))];
}

function grpcLoad({ ready, exit }: ServerProcess, outcome: Outcome): Promise<void>[] {
  const client = grpcSender(ready.grpc!);
  const ended = exit.then(() => client.close());
  const refused = ({ message }: Error) => /ECONNREFUSED|Channel has been shut down/.test(message);
  return [ended, ...Array.from({ length: CALLS }, () => sendUntilRefused(client.send, refused, outcome))];
}

async function sendUntilRefused(
  send: () => Promise<void>,
  refused: (error: Error) => boolean,
  outcome: Outcome,
): Promise<void> {
  for (;;) {
    try {
      await send();
      outcome.answered += 1;
    } catch (error) {
      if (refused(error as Error)) outcome.unsent += 1;
      else outcome.lost += 1;
      if (!refused(error as Error)) outcome.faults.add(String(error));
      return;
    }
  }
}
