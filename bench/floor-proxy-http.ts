/** The least a Node proxy can do over HTTP: both bodies are piped unread. Usage: floor-proxy-http.ts HOST:PORT */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const upstream = new URL(`http://${process.argv[2]}`);
const agent = new Agent({ keepAlive: true });

function forward(incoming: IncomingMessage, response: ServerResponse): void {
  const { method, url: path, headers } = incoming;
  const { hostname: host, port } = upstream;
  const outgoing = request({ agent, host, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode!, answer.headers);
    answer.pipe(response);
  });
  outgoing.on("error", () => response.destroy());
  incoming.pipe(outgoing);
}

const server = createServer(forward);
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ msg: "ready", http: `127.0.0.1:${port}` }));
});
process.on("SIGTERM", () => process.exit(0));
