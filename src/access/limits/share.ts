/** What a request takes of its month, or what is put right of it. */
export interface Share {
  readonly requests: number;
  readonly tokens: number;
}

export const sumOf = <T extends Share>(one: T, other: Share): T => ({
  ...one,
  requests: one.requests + other.requests,
  tokens: one.tokens + other.tokens,
});
