import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, relative } from "node:path";
import type { Host, Located, Resolver, ResolverPlugin } from "../contracts/index.ts";
import { testCall, testHost } from "./call.ts";
import {
  abortableCall,
  abortedCall,
  assertNoListeners,
  type ContractCase,
  caseWith,
  disposalCases,
  type Opened,
  optionCases,
  parseOptions,
  rejectsWithCode,
  rejectsWithReason,
} from "./checks.ts";

/** A source this resolver reads, and what is in it. */
export interface ResolverFixture {
  /** As in `parameters.extra.source`. */
  readonly options?: unknown;
  readonly host?: Host;
  /** A uri that stands for `files`. */
  uri(): string | Promise<string>;
  /** Path to text, as `fetch` must write them. */
  readonly files: Readonly<Record<string, string>>;
  /** A uri whose source answers that there is no such thing. */
  missing(): string | Promise<string>;
  /** A uri of this scheme that no source could have. */
  malformed?(): string;
  /** A uri whose source is there and fails: it answers nonsense, an error of its own, or not at all. */
  broken?(): string | Promise<string>;
  /** Changes the content behind `uri()`. */
  change?(): Promise<void>;
}

/** What every resolver must do: `for (const c of resolverContract(plugin, fixture)) it(c.name, c.run)`. */
export function resolverContract<O>(plugin: ResolverPlugin<O>, fixture: ResolverFixture): ContractCase[] {
  const open: Opened<Resolver> = async () =>
    plugin.open(parseOptions(plugin, fixture.options), fixture.host ?? testHost());
  return [
    ...optionCases(plugin, fixture.options),
    schemeCase(plugin, fixture),
    ...locateCases(fixture, open),
    ...faultCases(fixture, open),
    ...fetchCases(fixture, open),
    ...disposalCases(open),
    ...changeCases(fixture, open),
  ];
}

function schemeCase<O>({ schemes }: ResolverPlugin<O>, fixture: ResolverFixture): ContractCase {
  return {
    name: "lists the scheme of its uris",
    async run() {
      const scheme = (await fixture.uri()).split(":")[0]!;
      assert.ok(schemes.includes(scheme), `'${scheme}' is not among ${schemes.join(", ")}`);
    },
  };
}

function locateCases(fixture: ResolverFixture, open: Opened<Resolver>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("locates a uri, alike as long as nothing changes", async (resolver) => {
      const call = testCall();
      const uri = await fixture.uri();
      const located = await resolver.locate(uri, call);
      assert.notEqual(located.revision, "");
      assert.notEqual(located.location, "");
      if (located.path !== undefined) assert.ok(isAbsolute(located.path), `${located.path} is not absolute`);
      assert.deepEqual(await resolver.locate(uri, call), located);
      assertNoListeners(call);
      await using another = await open();
      assert.deepEqual(
        await another.locate(uri, call),
        located,
        "another one, opened later, locates it differently",
      );
    }),
    test("keeps concurrent calls apart", async (resolver) => {
      const uri = await fixture.uri();
      const aborted = abortableCall();
      const good = [resolver.locate(uri, testCall()), resolver.locate(uri, testCall())];
      const lost = resolver.locate(uri, aborted.call);
      aborted.abort();
      await rejectsWithReason(lost, aborted);
      const [first, second] = await Promise.all(good);
      assert.deepEqual(first, second);
    }),
    test("does not locate when aborted", async (resolver) => {
      const aborted = abortedCall();
      await rejectsWithReason(resolver.locate(await fixture.uri(), aborted.call), aborted);
    }),
  ];
}

function faultCases(fixture: ResolverFixture, open: Opened<Resolver>): ContractCase[] {
  const test = caseWith(open);
  const absent = test("answers NOT_FOUND for what is not there", async (resolver) => {
    await rejectsWithCode(resolver.locate(await fixture.missing(), testCall()), "NOT_FOUND");
  });
  const { malformed, broken } = fixture;
  const refused = test("answers INVALID_ARGUMENT for a uri that cannot be", async (resolver) => {
    await rejectsWithCode(resolver.locate(malformed!(), testCall()), "INVALID_ARGUMENT");
  });
  const failing = test("answers UPSTREAM for a source that fails", async (resolver) => {
    const call = testCall();
    await rejectsWithCode(resolver.locate(await broken!(), call), "UPSTREAM");
    assertNoListeners(call);
  });
  return [absent, ...(malformed ? [refused] : []), ...(broken ? [failing] : [])];
}

function fetchCases(fixture: ResolverFixture, open: Opened<Resolver>): ContractCase[] {
  const test = caseWith(open);
  return [
    test("fetches the files", async (resolver) => {
      const call = testCall();
      const located = await resolver.locate(await fixture.uri(), call);
      await inTemporaryFolder(async (folder) => {
        await resolver.fetch(located, folder, call);
        assert.deepEqual(await filesIn(folder), fixture.files);
      });
      assertNoListeners(call);
    }),
    test("does not fetch when aborted", async (resolver) => {
      const aborted = abortedCall();
      await withLocated(resolver, await fixture.uri(), (located, folder) =>
        rejectsWithReason(resolver.fetch(located, folder, aborted.call), aborted),
      );
    }),
    test("rejects with the reason when aborted at work", async (resolver) => {
      const aborted = abortableCall();
      await withLocated(resolver, await fixture.uri(), async (located, folder) => {
        const work = resolver.fetch(located, folder, aborted.call);
        aborted.abort();
        await rejectsWithReason(work, aborted);
      });
    }),
  ];
}

function changeCases(fixture: ResolverFixture, open: Opened<Resolver>): ContractCase[] {
  const { change } = fixture;
  if (change === undefined) return [];
  return [
    caseWith(open)("gives another revision when the content changes", async (resolver) => {
      const uri = await fixture.uri();
      const before = await resolver.locate(uri, testCall());
      await change();
      const after = await resolver.locate(uri, testCall());
      assert.notEqual(after.revision, before.revision);
      assert.deepEqual(await resolver.locate(uri, testCall()), after, "the revision changes by itself");
    }),
  ];
}

async function withLocated(
  resolver: Resolver,
  uri: string,
  check: (located: Located, folder: string) => Promise<void>,
): Promise<void> {
  const located = await resolver.locate(uri, testCall());
  await inTemporaryFolder((folder) => check(located, folder));
}

async function inTemporaryFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "capstan-contract-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function filesIn(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    if ((await stat(path)).isFile()) found[relative(folder, path)] = await readFile(path, "utf8");
  }
  return found;
}
