/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;

const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** What may stand in place of a JSON value. */
const VALUES = [
  ...[
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "9007199254740993",
    "18446744073709551616",
    "1.5",
    '""',
    '"\\u0000"',
  ],
  ...[
    "[]",
    "{}",
    "[[1],[2]]",
    '"NaN"',
    '{"__proto__":{}}',
    '"\\ud800"',
    `"${"x".repeat(5000)}"`,
    "[".repeat(600),
  ],
];

/** A number, a text, a literal or a name in JSON. */
const TOKEN = /-?\d[\d.eE+-]*|"(?:[^"\\]|\\.)*"|true|false|null/g;

type Mutation = (bytes: Buffer, random: Random) => Buffer;

const MUTATIONS: readonly Mutation[] = [
  (bytes, random) => spliced(bytes, random, 1, Buffer.of(below(random, 256))),
  (bytes, random) => spliced(bytes, random, below(random, 40), Buffer.alloc(0)),
  (bytes, random) => spliced(bytes, random, 0, Buffer.from(VALUES[below(random, VALUES.length)]!)),
  (bytes, random) => spliced(bytes, random, 0, bytes.subarray(0, below(random, 64))),
  (bytes, random) => bytes.subarray(0, below(random, bytes.length)),
  replacedToken,
  replacedToken,
  replacedToken,
];

/** The bytes after one to three changes. */
export function mutated(bytes: Buffer, random: Random): Buffer {
  let result = bytes;
  for (let left = 1 + below(random, 3); left > 0; left--) {
    result = MUTATIONS[below(random, MUTATIONS.length)]!(result, random);
  }
  return result;
}

function spliced(bytes: Buffer, random: Random, removed: number, added: Uint8Array): Buffer {
  const at = below(random, bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}

/** One value of a JSON text becomes another; bytes that hold none stay as they are. */
function replacedToken(bytes: Buffer, random: Random): Buffer {
  const text = bytes.toString("latin1");
  const tokens = [...text.matchAll(TOKEN)];
  if (tokens.length === 0) return bytes;
  const { index, 0: token } = tokens[below(random, tokens.length)]!;
  const value = VALUES[below(random, VALUES.length)]!;
  return Buffer.from(text.slice(0, index) + value + text.slice(index + token.length), "latin1");
}
