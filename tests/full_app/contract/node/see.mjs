// What the official client for Node sees: an answer, or an error.
// Usage: node see.mjs <base URL>. Each line of standard input is a question, as JSON:
// {mode, key, ask}. Each gets one line of JSON, and only then comes the next.

import { createInterface } from "node:readline";
import OpenAI from "openai";

const [baseURL] = process.argv.slice(2);
const include_usage = { stream_options: { include_usage: true } };
const clients = new Map();

/** The client of the caller who has this key. */
function clientOf(apiKey) {
  if (!clients.has(apiKey))
    clients.set(apiKey, new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 }));
  return clients.get(apiKey);
}

/** Each mode puts into `seen` what it sees, so that a failure loses nothing of it. */
const modes = {
  async whole(client, ask, seen) {
    seen.completion = await client.chat.completions.create(ask);
  },

  async stream(client, ask, seen) {
    seen.chunks = [];
    const asked = { ...ask, ...include_usage, stream: true };
    for await (const chunk of await client.chat.completions.create(asked))
      seen.chunks.push(chunk);
  },

  async helper(client, ask, seen) {
    const stream = client.chat.completions.stream({ ...ask, ...include_usage });
    seen.completion = await stream.finalChatCompletion();
  },

  // The client asks for base64, and decodes it.
  async vectors(client, ask, seen) {
    seen.embeddings = await client.embeddings.create(ask);
  },

  async "vectors as asked"(client, ask, seen) {
    seen.embeddings = await client.post("/embeddings", { body: ask });
  },

  async models(client, ask, seen) {
    seen.ids = [];
    for await (const model of client.models.list()) seen.ids.push(model.id);
  },

  async model(client, { model }, seen) {
    seen.ids = [(await client.models.retrieve(model)).id];
  },
};

/** An error as the tests compare it; without a body it is a mistake of the client's. */
function shown({ status, headers, error, stack }) {
  return {
    status: status ?? 200,
    error: error ?? { message: stack, code: null },
    retry: headers?.get("x-should-retry") ?? null,
    retry_after: headers?.get("retry-after") ?? null,
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { mode, key, ask } = JSON.parse(line);
  const seen = {};
  try {
    await modes[mode](clientOf(key), ask, seen);
  } catch (error) {
    seen.error = shown(error);
  }
  console.log(JSON.stringify(seen));
}
