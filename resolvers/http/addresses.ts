import { type LookupAddress, type LookupOptions, lookup } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/** Not on the public internet: IANA's special-purpose address registries, RFC 6890. */
const NETWORKS: Readonly<Record<"ipv4" | "ipv6", readonly string[]>> = {
  ipv4: [
    ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
    ...["192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"],
    ...["198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"],
  ],
  // Also those that carry an IPv4 address: translation (64:ff9b), Teredo in 2001::/23, 6to4 (2002).
  ipv6: [
    ...["::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16"],
    ...["3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"],
  ],
};

const blocked = new BlockList();
for (const family of ["ipv4", "ipv6"] as const) {
  for (const network of NETWORKS[family]) {
    const [address, bits] = network.split("/") as [string, string];
    blocked.addSubnet(address, Number(bits), family);
  }
}

/** Whether an IP address is of this machine, of a private network, or of no host at all. */
export function isPrivate(address: string): boolean {
  // A zone such as %eth0 belongs to a link-local address alone.
  if (address.includes("%")) return true;
  return blocked.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
}

export class PrivateAddressError extends Error {
  constructor(host: string, address: string) {
    super(`${host === address ? host : `${host} is ${address}, which`} is an address of a private network`);
  }
}

/**
 * Resolves a name for a connection, and refuses private addresses: what is checked is what is connected to, so a
 * name that answers differently the next time gains nothing.
 */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...(options as LookupOptions), all: true }, (error, addresses) => {
    if (error) return callback(error, "");
    const found = addresses.find(({ address }) => isPrivate(address));
    if (found) return callback(new PrivateAddressError(hostname, found.address), "");
    answer(addresses, options as LookupOptions, callback);
  });
};

function answer(addresses: LookupAddress[], { all }: LookupOptions, callback: Parameters<LookupFunction>[2]) {
  if (all) return callback(null, addresses);
  callback(null, addresses[0]!.address, addresses[0]!.family);
}

/** A host that is an IP address is connected to without a lookup, and must be checked by itself. */
export function refusePrivate({ hostname }: URL): void {
  const address = hostname.replace(/^\[|\]$/g, "");
  if (isIP(address) !== 0 && isPrivate(address)) throw new PrivateAddressError(address, address);
}
