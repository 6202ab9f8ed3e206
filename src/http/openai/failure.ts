import type { CapstanError } from "../../contracts/index.ts";
import { errorBody } from "../error-body.ts";
import type { Exchange } from "../exchange.ts";
import { sseData } from "../sse.ts";
import { DONE } from "./answer.ts";

/** The end of a stream that failed: clients of the OpenAI API throw at an event with an error. */
export function openAIFailure(x: Exchange): (error: CapstanError) => string {
  return (error) => sseData(errorBody(x, error)) + DONE;
}
