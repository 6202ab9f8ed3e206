/** The public documents the checks cite. */
const REST = "Open Inference Protocol, inference_rest.md";
const GRPC = "Open Inference Protocol, inference_grpc.md";
const TRITON = "Triton Inference Server, docs/protocol";

/** A section of the REST document. */
export const rest = (section: string): string => `${REST}: ${section}`;

/** A section or message of the gRPC document. */
export const grpc = (section: string): string => `${GRPC}: ${section}`;

/** An extension document and its section. */
export const extension = (file: string, section: string): string =>
  `${TRITON}/extension_${file}.md: ${section}`;

/** HTTP itself. */
export const http = (section: string): string => `RFC 9110: ${section}`;

/** Practice of the field that no document of the protocol demands. */
export const practice = (what: string): string => `Practice: ${what}`;
