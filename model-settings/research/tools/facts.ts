import { readFile } from "node:fs/promises";
import { z } from "zod";

const schema = z.object({ topic: z.string().min(1).describe("What to look up, such as onnx") });

/** Looks a topic up in facts.json. */
export default {
  description: "Facts about a topic.",
  schema,
  async run({ topic }: z.infer<typeof schema>, { signal }: { signal: AbortSignal }): Promise<string> {
    const text = await readFile(new URL("./facts.json", import.meta.url), { encoding: "utf8", signal });
    const wanted = topic.toLowerCase();
    const found = Object.entries(JSON.parse(text) as Record<string, string>).filter(([name]) => {
      return wanted.includes(name) || name.includes(wanted);
    });
    return found.map(([, fact]) => fact).join("\n") || `Nothing is known about ${topic}.`;
  },
};
