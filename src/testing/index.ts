/**
 * The contract kits: what a plugin of each kind must do, as cases for any test runner. Import them from
 * `capstan/testing`. A fixture says how to make a good model, uri or request; give its optional members
 * wherever the plugin has what they are about, since each adds cases.
 *
 * @example
 * for (const { name, run } of runtimeContract(plugin, { model, request, badRequest, missing })) it(name, run);
 */
export { type AdapterFixture, adapterContract } from "./adapter.ts";
export { collect, testCall, testHost } from "./call.ts";
export type { ContractCase } from "./checks.ts";
export { type MemoryFixture, memoryContract } from "./memory.ts";
export { type ResolverFixture, resolverContract } from "./resolver.ts";
export { type RuntimeFixture, runtimeContract } from "./runtime.ts";
