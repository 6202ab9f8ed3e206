import type { Answer } from "./crowd.ts";
import type { Promotion } from "./promotions.ts";

/** What a run comes to. Milliseconds. */
export interface Verdict {
  readonly requests: number;
  readonly lost: number;
  /** The first few reasons. */
  readonly faults: readonly string[];
  /** Of a version that no alias had stood for when the answer was there. */
  readonly neverCurrent: number;
  /** Of an older version than an answer that was there before the request was sent. */
  readonly wentBack: number;
  /** Parts of one answer are of two versions. */
  readonly mixed: number;
  readonly quietP99: number;
  /** Of requests that were under way while a version was being fetched, loaded and swapped in. */
  readonly swapP99: number;
  /** From a move of the alias to the first fetch. */
  readonly noticed: Spread;
  /** From the first fetch to the first answer; of the forest alone, since an answer of the teller takes its time. */
  readonly loaded: Spread;
}

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** @param quietUntil when the first alias was moved. Streams are left out of the p99: what they take is their pauses. */
export function judge(
  answers: readonly Answer[],
  promotions: readonly Promotion[],
  quietUntil: number,
): Verdict {
  const short = answers.filter(({ kind }) => kind !== "stream");
  const duration = ({ from, until }: Answer) => until - from;
  const lost = answers.filter(({ versions }) => versions.length === 0);
  return {
    requests: answers.length,
    lost: lost.length,
    faults: [...new Set(lost.map(({ fault }) => fault ?? "no answer"))].slice(0, 3),
    neverCurrent: answers.filter((answer) => !wasCurrent(answer, promotions)).length,
    wentBack: countBackwards(answers),
    mixed: answers.filter(({ versions }) => versions.length > 1).length,
    quietP99: spread(short.filter(({ until }) => until < quietUntil).map(duration)).p99,
    swapP99: spread(short.filter((answer) => overlaps(answer, promotions)).map(duration)).p99,
    noticed: spread(promotions.map(({ at, fetchedAt }) => fetchedAt - at)),
    loaded: spread(
      promotions
        .filter(({ model }) => model === "iris")
        .map(({ fetchedAt, servedAt }) => servedAt - fetchedAt),
    ),
  };
}

/** Version 1 is what the alias stands for at the start. */
function wasCurrent({ model, until, versions }: Answer, promotions: readonly Promotion[]): boolean {
  return versions.every(
    (version) =>
      version === 1 ||
      promotions.some((each) => each.model === model && each.version === version && each.at <= until),
  );
}

function overlaps({ from, until }: Answer, promotions: readonly Promotion[]): boolean {
  return promotions.some(({ fetchedAt, servedAt }) => from < servedAt && until > fetchedAt);
}

/** In order of when they were sent, each is held against the newest that had been answered by then. */
function countBackwards(answers: readonly Answer[]): number {
  let count = 0;
  for (const model of new Set(answers.map((answer) => answer.model))) {
    const own = answers.filter((answer) => answer.model === model && answer.versions.length > 0);
    const ended = own.toSorted((a, b) => a.until - b.until);
    let [place, newest] = [0, 0];
    for (const { from, versions } of own.toSorted((a, b) => a.from - b.from)) {
      for (; ended[place] !== undefined && ended[place]!.until < from; place++)
        newest = Math.max(newest, ...ended[place]!.versions);
      if (Math.min(...versions) < newest) count += 1;
    }
  }
  return count;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? Number.NaN };
}
