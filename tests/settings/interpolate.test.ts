import { describe, expect, it } from "vitest";
import { interpolate } from "../../src/settings/interpolate.ts";

const env = { NAME: "value", EMPTY: "", URL: "http://x/${NAME}" };

describe("variables in settings", () => {
  it.each([
    ["${NAME}", "value"],
    ["a-${NAME}-${NAME}", "a-value-value"],
    ["${MISSING:-fallback}", "fallback"],
    ["${MISSING:-}", ""],
    ["${EMPTY:-fallback}", "fallback"],
    ["${EMPTY}", ""],
    ["${MISSING:-http://h:1/a?b=c}", "http://h:1/a?b=c"],
    ["${URL}", "http://x/${NAME}"],
    ["$${NAME}", "${NAME}"],
    ["$NAME {NAME} $", "$NAME {NAME} $"],
  ])("reads %j as %j", (text, wanted) => {
    expect(interpolate(text, env)).toEqual({ value: wanted, findings: [] });
  });

  it("replaces in every string at any depth, and leaves keys and other values alone", () => {
    const { value } = interpolate({ "${NAME}": [1, null, { a: "${NAME}" }], b: true }, env);
    expect(value).toEqual({ "${NAME}": [1, null, { a: "value" }], b: true });
  });

  it("names the key of a missing variable", () => {
    const { findings } = interpolate({ a: [{ token: "Bearer ${MISSING}" }] }, env);
    expect(findings).toEqual([
      {
        path: ["a", 0, "token"],
        severity: "error",
        message: "the environment variable MISSING is not set; set it, or write ${MISSING:-default}",
      },
    ]);
  });

  it.each(["${}", "${1X}", "${NAME-x}", "${a b}"])("refuses %j", (text) => {
    expect(interpolate(text, env).findings).toHaveLength(1);
  });
});
