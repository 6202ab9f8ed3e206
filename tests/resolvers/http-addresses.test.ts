import { describe, expect, it } from "vitest";
import { isPrivate, publicLookup } from "../../resolvers/http/addresses.ts";
import http from "../../resolvers/http/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";
import { FileServer, file } from "./support/file-server.ts";

describe("private addresses", () => {
  it.each([
    ...["127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"],
    ...["224.0.0.1", "255.255.255.255", "198.18.0.1"],
    ...["::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1"],
    ...[
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "::ffff:10.0.0.1",
      "::127.0.0.1",
      "64:ff9b::a00:1",
      "2002:7f00:1::",
    ],
  ])("%s is one", (address) => {
    expect(isPrivate(address)).toBe(true);
  });

  it.each(["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])(
    "%s is none",
    (address) => {
      expect(isPrivate(address)).toBe(false);
    },
  );
});

describe("publicLookup", () => {
  const looked = (host: string, options: object) =>
    new Promise((resolve) => publicLookup(host, options, (...answer) => resolve(answer)));

  it("gives public addresses, in both forms that connections ask for", async () => {
    expect(await looked("8.8.8.8", { all: true })).toEqual([null, [{ address: "8.8.8.8", family: 4 }]]);
    expect(await looked("2606:4700::1111", {})).toEqual([null, "2606:4700::1111", 6]);
  });

  it("refuses private ones", async () => {
    const message = expect.stringContaining("is an address of a private network");
    expect(await looked("127.0.0.1", {})).toEqual([expect.objectContaining({ message }), ""]);
  });
});

describe("without allow_private", () => {
  async function locate(uri: string) {
    const parsed = http.options.safeParse({});
    await using resolver = await http.open(parsed.success ? parsed.data : ({} as never), testHost());
    return await resolver.locate(uri, testCall());
  }

  it.each(["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])(
    "asks nothing of %s, and says how to",
    async (host) => {
      await using server = await FileServer.start();
      server.routes.set(
        "/a",
        file(() => "secret"),
      );
      await expect(locate(`http://${host}:${server.port}/a`)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringMatching(/private network.*allow_private/),
      });
      expect(server.seen).toEqual([]);
    },
  );
});
