import { Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js";

export type UnaryCall<Request, Answer> = ServerUnaryCall<Request, Answer>;

/** A grpc-js server on a free port of 127.0.0.1, announced on standard output and ended by SIGTERM. */
export async function listenBare(register: (server: Server) => void): Promise<void> {
  const server = new Server({ "grpc.enable_channelz": 0 });
  register(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  console.log(JSON.stringify({ msg: "ready", http: "", grpc: `127.0.0.1:${port}` }));
  process.on("SIGTERM", () => process.exit(0));
}
