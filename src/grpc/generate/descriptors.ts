/** File descriptors of all proto files, as server reflection hands them out. */
import protobuf from "protobufjs";
import descriptors, { type IDescriptorProto, type IFileDescriptorProto } from "protobufjs/ext/descriptor.js";

/** The text of one proto file, and the name it is known by. */
export interface ProtoSource {
  readonly file: string;
  readonly text: string;
}

/** Every service, method, message and enum of a namespace, by its full name. */
function symbolsOf(namespace: protobuf.NamespaceBase): string[] {
  return namespace.nestedArray.flatMap((item) => {
    const name = item.fullName.slice(1);
    if (item instanceof protobuf.Service) return [name, ...item.methodsArray.map((m) => `${name}.${m.name}`)];
    if (item instanceof protobuf.Type) return [name, ...symbolsOf(item)];
    if (item instanceof protobuf.Enum) return [name];
    return item instanceof protobuf.Namespace ? symbolsOf(item) : [];
  });
}

function servicesOf(namespace: protobuf.NamespaceBase): string[] {
  return namespace.nestedArray.flatMap((item) => {
    if (item instanceof protobuf.Service) return [item.fullName.slice(1)];
    return item instanceof protobuf.Namespace ? servicesOf(item) : [];
  });
}

/** protoc's own rule for the message behind a map field. */
function entryName(field: string): string {
  return `${field.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}Entry`;
}

/**
 * protobufjs names the entry of a map after its field alone, and marks every scalar as unpacked; readers of
 * descriptors refuse the first.
 */
function corrected(message: IDescriptorProto): void {
  for (const field of message.field ?? []) {
    delete field.options;
    const entry = message.nestedType?.find(
      ({ name, options }) => options?.mapEntry && name === field.typeName,
    );
    if (!entry || field.label !== 3) continue;
    field.typeName = entryName(field.name ?? "");
    entry.name = field.typeName;
  }
  for (const nested of message.nestedType ?? []) corrected(nested);
}

function descriptorOf(root: protobuf.Root, file: string): Uint8Array {
  const { file: files } = root.toDescriptor("proto3") as { file: IFileDescriptorProto[] };
  const [descriptor] = files;
  if (files.length !== 1 || !descriptor) throw new Error(`${file}: one package is expected`);
  descriptor.name = file;
  for (const message of descriptor.messageType ?? []) corrected(message);
  return descriptors.FileDescriptorProto.encode(descriptor).finish();
}

function renderFile({ file, text }: ProtoSource): string[] {
  const { root } = protobuf.parse(text, new protobuf.Root(), { keepCase: true });
  root.resolveAll();
  const bytes = Buffer.from(descriptorOf(root, file)).toString("base64");
  return [
    "  {",
    `    file: ${JSON.stringify(file)},`,
    `    services: ${JSON.stringify(servicesOf(root))},`,
    `    symbols: ${JSON.stringify(symbolsOf(root))},`,
    `    bytes: ${JSON.stringify(bytes)},`,
    "  },",
  ];
}

/** The text of `descriptors.ts`. */
export function renderDescriptors(sources: readonly ProtoSource[], banner: string): string {
  return [
    banner,
    "/** `bytes`: a google.protobuf.FileDescriptorProto in base64. `symbols`: what it declares. */",
    "export const FILES = [",
    ...sources.flatMap(renderFile),
    "] as const;",
    "",
  ].join("\n");
}
