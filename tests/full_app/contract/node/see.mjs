// What the official client for Node sees of answers: whole, and by its stream helper.
// Usage: node see.mjs <base URL> <key>, with a JSON list of {mode, ask} on standard
// input. Prints one JSON line each: the completion, or the error.

import { text } from "node:stream/consumers";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const chat = client.chat.completions;

/** The completion that one question gets. */
async function completion({ mode, ask }) {
  if (mode === "whole") return chat.create(ask);
  const options = { include_usage: true };
  return chat.stream({ ...ask, stream_options: options }).finalChatCompletion();
}

for (const question of JSON.parse(await text(process.stdin))) {
  let seen;
  try {
    seen = { completion: await completion(question) };
  } catch (error) {
    const { status = 200, message } = error;
    const retry = error.headers?.get("x-should-retry") ?? null;
    seen = { error: { status, message, retry } };
  }
  console.log(JSON.stringify(seen));
}
