import { GRPCInferenceService, LLMService } from "../../../src/grpc/generated/services.ts";
import { ADMIN, bearer, type TestAccess } from "../../support/access.ts";
import { IRIS_ROW } from "../../support/server.ts";

const messages = (content: string) => [{ role: "user", content }];

/** Something of everything that is counted: answers, streams, reloads, refusals, faults. */
export class Traffic {
  readonly #access: TestAccess;
  readonly #limited: string;

  private constructor(access: TestAccess, limited: string) {
    this.#access = access;
    this.#limited = limited;
  }

  static async of(access: TestAccess): Promise<Traffic> {
    const { key } = await access.keyWith({ requestsPerMinute: 1 });
    return new Traffic(access, key);
  }

  async round(): Promise<void> {
    await this.#tensors();
    await this.#language();
    await this.#refusals();
    await this.#rpcs();
    await this.#post(ADMIN, "/v2/repository/models/iris/load", {});
  }

  async #tensors(): Promise<void> {
    for (const model of ["iris", "queued", "batched", "kept", "isolated", "m"]) {
      const body =
        model === "m" ? { inputs: [{ name: "x", shape: [1], datatype: "INT64", data: [1] }] } : IRIS_ROW;
      await Promise.all([1, 2, 3].map(() => this.#post(ADMIN, `/v2/models/${model}/infer`, body)));
    }
    const wrong = { inputs: [{ ...IRIS_ROW.inputs[0], name: "unknown" }] };
    await this.#post(ADMIN, "/v2/models/iris/infer", wrong);
  }

  async #language(): Promise<void> {
    const chat = (content: string, more: object) =>
      this.#post(ADMIN, "/v1/chat/completions", { model: "scripted", messages: messages(content), ...more });
    await chat("slow", { stream: true });
    await chat("breaks", {});
    // The second is answered by what was kept of the first.
    for (let times = 0; times < 2; times++) await chat("logprobs", { temperature: 0 });
    await this.#post(ADMIN, "/v1/embeddings", { model: "scripted", input: ["a"] });
    await this.#post(ADMIN, "/v2/models/scripted/generate", { text_input: "slow" });
  }

  async #refusals(): Promise<void> {
    const body = { model: "echo", messages: messages("one") };
    for (const key of [this.#limited, this.#limited, "nobodys-key"])
      await this.#post(key, "/v1/chat/completions", body);
  }

  async #rpcs(): Promise<void> {
    const { grpc } = this.#access;
    const headers = bearer(ADMIN);
    await grpc.unary(LLMService.ChatCompletion, { model: "echo", messages: messages("one") }, { headers });
    await grpc.unary(GRPCInferenceService.ServerLive, {}, { headers });
    await grpc.unary(LLMService.ChatCompletion, { model: "echo", messages: messages("one") }, {});
  }

  async #post(key: string, path: string, body: object): Promise<void> {
    await (await this.#access.post(key, path, body)).arrayBuffer();
  }
}
