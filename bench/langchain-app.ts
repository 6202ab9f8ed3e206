/** What `langchain.ts` measures: applications of a model that says the same token again and again. */
import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessageChunk, type BaseMessage } from "@langchain/core/messages";
import { StringOutputParser } from "@langchain/core/output_parsers";
import { ChatGenerationChunk, type ChatResult } from "@langchain/core/outputs";
import { ChatPromptTemplate } from "@langchain/core/prompts";
import { MessagesAnnotation, StateGraph } from "@langchain/langgraph";

export const TOKENS = 2000;
const TOKEN = "word ";

class Repeater extends BaseChatModel {
  _llmType(): string {
    return "repeater";
  }

  override async _generate(): Promise<ChatResult> {
    throw new Error("it is only streamed");
  }

  override async *_streamResponseChunks(
    _messages: BaseMessage[],
    _options: this["ParsedCallOptions"],
    run?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    for (let token = 0; token < TOKENS; token++) {
      const message = new AIMessageChunk({ content: TOKEN });
      const chunk = new ChatGenerationChunk({ text: TOKEN, message });
      yield chunk;
      await run?.handleLLMNewToken(TOKEN, undefined, undefined, undefined, undefined, { chunk });
    }
  }
}

const model = new Repeater({});

export const graph = new StateGraph(MessagesAnnotation)
  .addNode("answer", async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addEdge("__start__", "answer")
  .compile();

export const chain = ChatPromptTemplate.fromMessages([["human", "{question}"]])
  .pipe(model)
  .pipe(new StringOutputParser());

/** The same, as one that gets its model from the server, where its tokens are counted. */
export const servedChain = () => chain;
