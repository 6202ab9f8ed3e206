import { randomUUID } from "node:crypto";
import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, type BaseMessage, HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { z } from "zod";
import orders from "./orders.json" with { type: "json" };

type Order = Readonly<Record<string, string>>;
type State = typeof MessagesAnnotation.State;

const findOrder = tool(({ id }) => JSON.stringify((orders as Readonly<Record<string, Order>>)[id] ?? null), {
  name: "find_order",
  description: "Where an order is, when it arrives, what it costs and whose it is",
  schema: z.object({ id: z.string() }),
});

/** What a question is about, by its words. */
const TOPICS: readonly (readonly [RegExp, string])[] = [
  [/\b(when|date|day|arrive)/i, "date"],
  [/\b(cost|price|pay|much)/i, "price"],
  [/\b(who|whose|owner)/i, "owner"],
];

const said = (message: BaseMessage | undefined) => message?.text ?? "";
const topicOf = (question: string) => TOPICS.find(([words]) => words.test(question))?.[1] ?? "city";

/**
 * Answers questions about orders: it looks the order up, and the model puts the answer into words. A small model cannot
 * choose tools, so the graph does: it calls `find_order` where the conversation names an order.
 */
export function support({ llm }: { llm: BaseChatModel }) {
  const route = ({ messages }: State) => {
    const named = messages.findLast((message) => message.type === "human" && /\b\d{4}\b/.test(said(message)));
    const id = /\b\d{4}\b/.exec(said(named))?.[0];
    const isAsked = named === messages.at(-1) || /\b(it|order)\b/i.test(said(messages.at(-1)));
    if (id === undefined || !isAsked) return { messages: [] };
    const call = { id: `call_${randomUUID()}`, name: findOrder.name, args: { id } };
    return { messages: [new AIMessage({ content: "", tool_calls: [call] })] };
  };

  const answer = async ({ messages }: State) => ({ messages: [await llm.invoke(messages)] });

  const answerFromOrder = async ({ messages }: State) => {
    const order: Order | null = JSON.parse(said(messages.at(-1)));
    if (order === null) return { messages: [new AIMessage("There is no order of that number.")] };
    const question = said(messages.findLast(({ type }) => type === "human"));
    const facts = Object.entries(order).map(([name, value]) => `The ${name} is ${value}.`);
    const prompt = `Context:\n${facts.join(" ")}\n\nQuestion: What is the ${topicOf(question)}?`;
    return { messages: [await llm.invoke([new HumanMessage(prompt)])] };
  };

  const hasCall = ({ messages }: State) => ((messages.at(-1) as AIMessage).tool_calls?.length ?? 0) > 0;

  return new StateGraph(MessagesAnnotation)
    .addNode("route", route)
    .addNode("orders", new ToolNode([findOrder]))
    .addNode("answer", answer)
    .addNode("answer_from_order", answerFromOrder)
    .addEdge(START, "route")
    .addConditionalEdges("route", (state) => (hasCall(state) ? "orders" : "answer"), ["orders", "answer"])
    .addEdge("orders", "answer_from_order")
    .addEdge("answer", END)
    .addEdge("answer_from_order", END)
    .compile();
}
