/** The services of all proto files, as typed method tables over `wire.ts`. */
import protobuf from "protobufjs";

/** One proto file: its name without extension, and its resolved root. */
export interface ProtoFile {
  readonly name: string;
  readonly root: protobuf.Root;
}

function servicesOf(namespace: protobuf.NamespaceBase): protobuf.Service[] {
  return namespace.nestedArray.flatMap((item) => {
    if (item instanceof protobuf.Service) return [item];
    return item instanceof protobuf.Namespace ? servicesOf(item) : [];
  });
}

function streaming(method: protobuf.Method): string {
  const sides = [
    method.requestStream && "requestStream: true",
    method.responseStream && "responseStream: true",
  ];
  const set = sides.filter(Boolean);
  return set.length > 0 ? `, { ${set.join(", ")} }` : "";
}

function methodLine(service: protobuf.Service, method: protobuf.Method, alias: string): string {
  const path = `/${service.fullName.slice(1)}/${method.name}`;
  const name = (type: protobuf.Type | null): string => `${alias}${type?.fullName ?? ""}`;
  const request = name(method.resolvedRequestType);
  const response = name(method.resolvedResponseType);
  return `  ${method.name}: method("${path}", ${request}, ${response}${streaming(method)}),`;
}

function serviceLines(service: protobuf.Service, alias: string): string[] {
  const methods = service.methodsArray.map((method) => methodLine(service, method, alias));
  return [
    `/** ${service.fullName.slice(1)} */`,
    `export const ${service.name} = {`,
    ...methods,
    "} as const;",
    "",
  ];
}

/** The text of `services.ts`. Every service has a name of its own across the files. */
export function renderServices(files: readonly ProtoFile[], banner: string): string {
  const imports = files.map(({ name }) => `import * as ${name} from "./${name}.js";`);
  const services = files.flatMap(({ name, root }) => {
    return servicesOf(root).flatMap((service) => serviceLines(service, name));
  });
  return [banner, 'import { method } from "../wire.ts";', ...imports, "", ...services].join("\n");
}
