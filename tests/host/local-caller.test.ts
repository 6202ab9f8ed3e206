import { describe, expect, it } from "vitest";
import { checkLocalCaller, withoutPort } from "../../src/host/local-caller.ts";

const caller = (address: string, host = "localhost:8080", headers: Record<string, string> = {}) => ({
  address,
  host,
  header: (name: string) => headers[name],
});

describe("a local caller", () => {
  it.each(["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])("comes from %s", (address) => {
    for (const host of ["localhost", "127.0.0.1:8080", "[::1]:8080"]) {
      expect(() => checkLocalCaller(caller(address, host))).not.toThrow();
    }
  });

  it.each(["10.0.0.5", "fe80::1", "::ffff:10.0.0.5", "unknown", ""])("does not come from %j", (address) => {
    expect(() => checkLocalCaller(caller(address))).toThrow("is not loopback");
  });

  it("is nobody a proxy speaks for, no web page, and uses no name that only resolves to here", () => {
    expect(() => checkLocalCaller(caller("::1", "localhost", { "x-real-ip": "10.0.0.5" }))).toThrow(
      "x-real-ip",
    );
    expect(() => checkLocalCaller(caller("::1", "localhost", { origin: "http://a.example" }))).toThrow(
      "a.example",
    );
    expect(() => checkLocalCaller(caller("::1", "rebound.example:8080"))).toThrow("rebound.example");
  });
});

describe("an address without its port", () => {
  it.each([
    ["127.0.0.1:5000", "127.0.0.1"],
    ["::1:5000", "::1"],
    ["[::1]:5000", "::1"],
    ["localhost", "localhost"],
  ])("of %s is %s", (address, expected) => expect(withoutPort(address)).toBe(expected));
});
