import type { Route } from "../route.ts";
import { chatCompletions } from "./chat.ts";
import { completions } from "./completions.ts";
import { embeddings } from "./embeddings.ts";
import { listModels, retrieveModel } from "./models.ts";
import { passthroughRoutes } from "./passthrough.ts";
import { responseRoutes } from "./responses/routes.ts";

/** The OpenAI API. */
export const openAIRoutes = (): Route[] => [
  { method: "POST", path: "/v1/chat/completions", hot: true, handle: chatCompletions },
  { method: "POST", path: "/v1/completions", hot: true, handle: completions },
  { method: "POST", path: "/v1/embeddings", handle: embeddings },
  { method: "GET", path: "/v1/models", handle: listModels },
  { method: "GET", path: "/v1/models/:model{.+}", handle: retrieveModel },
  ...responseRoutes(),
  ...passthroughRoutes,
];
