/** G11 and G12: ModelStreamInfer. */
import { status } from "@grpc/grpc-js";
import type { inference } from "../../grpc/generated/inference.js";
import { GRPCInferenceService as Service } from "../../grpc/generated/services.ts";
import { type Check, checksFrom } from "../define.ts";
import { expect, expectEqual, shown } from "../expect.ts";
import { codeName, expectGrpcOk, type StreamReply } from "../grpc-client.ts";
import { type InferInit, modelInfer, rawRequest } from "../grpc-tensors.ts";
import { sampleInputs } from "../samples.ts";
import type { Session } from "../session.ts";
import { extension, grpc, practice } from "../sources.ts";

const stream = checksFrom(grpc("ModelStreamInfer; Triton's ModelStreamInferResponse"), [
  "grpc",
  "target",
  "grpc-stream",
]);
const final = checksFrom(extension("parameters", "triton_enable_empty_final_response"), [
  "grpc",
  "target",
  "grpc-stream",
]);

function request(session: Session, id: string): InferInit {
  return rawRequest(session.target.name, sampleInputs(session.target), { id });
}

type Answers = StreamReply<inference.ModelStreamInferResponse>;

async function ask(session: Session, requests: readonly InferInit[]): Promise<Answers> {
  const reply = await session.grpc.stream(Service.ModelStreamInfer, requests);
  expect(reply.code === status.OK, `the stream ended with ${codeName(reply.code)} ${shown(reply.details)}`);
  return reply;
}

/** Ids of the answers without an error, those that only mark an end left out. */
function answered({ messages }: Answers): string[] {
  const good = messages.filter(
    (message) => message.errorMessage === "" && message.inferResponse?.outputs.length,
  );
  return good.map(({ inferResponse }) => inferResponse?.id ?? "").toSorted();
}

async function errorKeepsStream(session: Session): Promise<void> {
  const unknown = { ...request(session, "bad"), modelName: "no-such-model" };
  const reply = await ask(session, [request(session, "1"), unknown, request(session, "2")]);
  expectEqual(answered(reply), ["1", "2"], "requests answered around a bad one");
  const errors = reply.messages.filter(({ errorMessage }) => errorMessage !== "");
  expectEqual(errors.length, 1, "responses with error_message");
}

async function finalMarked(session: Session): Promise<void> {
  const parameters = { triton_enable_empty_final_response: { boolParam: true } };
  const { messages } = await ask(session, [{ ...request(session, "1"), parameters }]);
  const flag = messages.at(-1)?.inferResponse?.parameters.triton_final_response;
  expectEqual(flag?.boolParam, true, "triton_final_response of the last message");
}

async function cancelled(session: Session): Promise<void> {
  const requests = Array.from({ length: 20 }, (_, index) => request(session, String(index)));
  await session.grpc.stream(Service.ModelStreamInfer, requests, { cancelAfter: 1 });
  expectGrpcOk(await modelInfer(session, request(session, "after")), "a request after a cancelled stream");
}

export const grpcStreamChecks: readonly Check[] = [
  stream.must("G11.stream", "every request on a stream is answered", async (s) => {
    const ids = ["1", "2", "3"];
    expectEqual(
      answered(
        await ask(
          s,
          ids.map((id) => request(s, id)),
        ),
      ),
      ids,
      "requests answered",
    );
  }),
  stream.must("G11.error", "a bad request is an error_message, and the stream goes on", errorKeepsStream),
  checksFrom(practice("clients match errors to requests"), ["grpc", "target", "grpc-stream"]).should(
    "G11.error-id",
    "the response with error_message has the request's id",
    async (s) => {
      const { messages } = await ask(s, [{ ...request(s, "bad"), modelName: "no-such-model" }]);
      expectEqual(messages[0]?.inferResponse?.id, "bad", "id");
    },
  ),
  final.should("G11.final", "the last message says triton_final_response when asked", finalMarked),
  stream.must("G12.cancel", "a cancelled stream does no harm", cancelled),
];
