export * from "./binary.ts";
export * from "./content-types.ts";
export * from "./float16.ts";
export * from "./float32.ts";
export * from "./names.ts";
export * from "./request.ts";
export * from "./response.ts";
export * from "./validation.ts";
