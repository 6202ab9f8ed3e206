import { describe, expect, it } from "vitest";
import { serve, TestRepository } from "../support/server.ts";

describe("the settings in force", () => {
  it("never show a secret, wherever it stands, and show variables as they were written", async () => {
    await using repository = await TestRepository.create();
    await repository.addSample("iris", "iris", {
      name: "iris",
      implementation: "onnx",
      parameters: {
        uri: "./model.onnx",
        environment_tarball: "${UNSET_TARBALL:-none}",
      },
      inputs: [{ name: "X", datatype: "FP32", shape: [-1, 4], parameters: { token: "literal-secret" } }],
      api_key: "another-secret",
    });
    await using server = await serve(repository.root);
    const { body } = await server.get("/v2/models/iris/config");
    expect(JSON.stringify(body)).not.toContain("secret");
    expect(body).toMatchObject({
      parameters: { environment_tarball: "${UNSET_TARBALL:-none}" },
      inputs: [{ name: "X", parameters: { token: "[redacted]" } }],
      api_key: "[redacted]",
    });
  });
});
