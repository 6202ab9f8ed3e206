import { connect } from "node:net";

/** Sends bytes as they are and gives everything the server answers until it closes, or falls silent. */
export function exchangeRaw(port: number, bytes: string | Buffer, silentMs = 300): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let answer = "";
    const done = () => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(silentMs, () => answer !== "" && done());
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("close", done);
    socket.on("error", reject);
  });
}

/** Opens a connection, writes, and goes away without waiting for anything. */
export function abandon(port: number, bytes: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write(bytes, () => {
        socket.destroy();
        resolve();
      });
    });
    socket.on("error", () => resolve());
  });
}
