import type { Figure } from "../figure.ts";
import { measureOverload } from "./overload.ts";
import { measureStops } from "./stops.ts";

const SECONDS = 20;
const STOPS = 20;

/** What becomes of requests when there are too many, and when the server is stopped. */
export async function runOverloadSuite(report: (figure: Figure) => void): Promise<void> {
  for (const each of await measureOverload(SECONDS)) report(each);
  for (const each of await measureStops(STOPS)) report(each);
}
