import { describe, expect, it } from "vitest";
import { ModelGraph } from "../../src/host/model-graph.ts";

describe("models that call each other", () => {
  it("may form chains and diamonds", () => {
    const graph = new ModelGraph();
    for (const [caller, callee] of [
      ["a", "b"],
      ["a", "c"],
      ["b", "d"],
      ["c", "d"],
    ]) {
      graph.connect(caller!, callee!);
    }
    expect(() => graph.connect("d", "e")).not.toThrow();
  });

  it("may not form a cycle, and the message shows it", () => {
    const graph = new ModelGraph();
    graph.connect("a", "b");
    graph.connect("b", "c");
    expect(() => graph.connect("c", "a")).toThrow("in a cycle: c -> a -> b -> c");
    expect(() => graph.connect("a", "a")).toThrow("a -> a");
  });

  it("are free again once one of them is gone", () => {
    const graph = new ModelGraph();
    const link = graph.connect("a", "b");
    link[Symbol.dispose]();
    link[Symbol.dispose]();
    expect(() => graph.connect("b", "a")).not.toThrow();
  });
});
