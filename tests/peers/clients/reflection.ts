import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import protobuf from "protobufjs";
// Adds Root.fromDescriptor.
import descriptor from "protobufjs/ext/descriptor.js";

/** What every client with reflection brings along: the published messages, as far as they are asked for here. */
const REFLECTION = `
  syntax = "proto3";
  message Request { oneof ask { string file_by_filename = 3; string file_containing_symbol = 4; string list_services = 7; } }
  message Response { oneof answer { Files files = 4; Services services = 6; Failure failure = 7; } }
  message Files { repeated bytes file = 1; }
  message Services { repeated Service service = 1; }
  message Service { string name = 1; }
  message Failure { int32 code = 1; string message = 2; }`;

const { root: published } = protobuf.parse(REFLECTION, { keepCase: true });
const [REQUEST, RESPONSE] = [published.lookupType("Request"), published.lookupType("Response")];

type Json = Record<string, unknown>;

/** What the server answers about itself. */
export interface Told {
  readonly files?: { readonly file: Uint8Array[] };
  readonly services?: { readonly service: readonly { readonly name: string }[] };
  readonly failure?: { readonly code: number; readonly message: string };
}

const OPTIONS = { longs: String, enums: String, bytes: Buffer, defaults: true, oneofs: true };
const bytes = (message: Buffer) => message;

/** A client that knows nothing about a server but its address. */
export class ReflectionClient implements Disposable {
  readonly #client: Client;
  readonly #service: string;
  #root = new protobuf.Root();

  /** @param version of the reflection service: v1, or v1alpha for older servers. */
  constructor(address: string, version = "v1") {
    this.#client = new Client(address, credentials.createInsecure());
    this.#service = `grpc.reflection.${version}.ServerReflection`;
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  /** Questions over one stream, and the answers to them. */
  async ask(...questions: readonly object[]): Promise<Told[]> {
    const path = `/${this.#service}/ServerReflectionInfo`;
    const stream = this.#client.makeBidiStreamRequest(path, bytes, bytes, new Metadata());
    for (const question of questions) stream.write(Buffer.from(REQUEST.encode(question).finish()));
    stream.end();
    const answers: Told[] = [];
    for await (const message of stream as AsyncIterable<Buffer>) {
      answers.push(RESPONSE.toObject(RESPONSE.decode(message)) as Told);
    }
    return answers;
  }

  async services(): Promise<string[]> {
    const [told] = await this.ask({ list_services: "" });
    return told!.services!.service.map(({ name }) => name);
  }

  /** Reads the files that describe a service, with all they import, and gives the service. */
  async describe(service: string): Promise<protobuf.Service> {
    const files = new Map<string, protobuf.Message>();
    let questions: object[] = [{ file_containing_symbol: service }];
    while (questions.length > 0) {
      const read = (await this.ask(...questions)).flatMap(fileDescriptors);
      for (const file of read) files.set(file.name, file);
      const wanted = new Set(read.flatMap(({ dependency }) => dependency));
      questions = [...wanted].filter((name) => !files.has(name)).map((name) => ({ file_by_filename: name }));
    }
    this.#root = fromDescriptor({ file: [...files.values()] });
    this.#root.resolveAll();
    return this.#root.lookupService(service);
  }

  /** Calls a method with one request and one answer, both as plain objects. */
  async call(service: protobuf.Service, name: string, request: Json): Promise<Json> {
    const { resolvedRequestType: requestType, resolvedResponseType: responseType } = service.methods[name]!;
    if (!requestType || !responseType) throw new Error(`the messages of ${name} are not described`);
    const body = Buffer.from(requestType.encode(requestType.fromObject(request)).finish());
    const path = `/${service.fullName.slice(1)}/${name}`;
    const { promise, resolve, reject } = Promise.withResolvers<Json>();
    const done = (error: ServiceError | null, answer?: Buffer) => {
      if (error) reject(error);
      else resolve(responseType.toObject(responseType.decode(answer!), OPTIONS));
    };
    this.#client.makeUnaryRequest(path, bytes, bytes, body, done);
    return promise;
  }
}

type FileDescriptor = protobuf.Message & { readonly name: string; readonly dependency: string[] };

function fileDescriptors({ files, failure }: Told): FileDescriptor[] {
  if (files === undefined) throw new Error(`reflection failed: ${failure?.code} ${failure?.message}`);
  return files.file.map((file) => descriptor.FileDescriptorProto.decode(file) as unknown as FileDescriptor);
}

const { fromDescriptor } = protobuf.Root as unknown as { fromDescriptor(files: object): protobuf.Root };
