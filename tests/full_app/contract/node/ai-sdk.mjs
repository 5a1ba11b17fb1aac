// The AI SDK against a running full_app, with both of its providers.
// Usage: node ai-sdk.mjs <base URL> <key> <case>...  Prints one JSON line a case.

import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { impatientFetch, report, thrown } from "./cases.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const [baseURL, apiKey, ...names] = process.argv.slice(2);
const given = { baseURL, apiKey };
const compatible = (more) =>
  createOpenAICompatible({ ...given, name: "full_app", includeUsage: true, ...more });
const providers = (more = {}) => [
  (name) => createOpenAI({ ...given, ...more }).chat(name),
  (name) => compatible(more).chatModel(name),
  (name) => compatible({ supportsStructuredOutputs: true, ...more }).chatModel(name),
  (name) => createOpenAI({ ...given, ...more })(name), // /v1/responses, its default
];
const id = "gpt-4o-mini";
const prompt = "Why does streaming feel faster?";
const maxRetries = 0;
const place = z.object({ city: z.string(), people: z.number().int() });

/** Try it with each provider. */
async function each(work, more) {
  for (const chat of providers(more)) await work(chat);
}

/** The text of a stream; what went wrong in it is thrown. */
async function streamed(asked) {
  let failure = null;
  const { textStream } = streamText({
    maxRetries,
    ...asked,
    onError: ({ error }) => (failure = error),
  });
  let text = "";
  for await (const part of textStream) text += part;
  if (failure !== null) throw failure;
  return text;
}

const cases = {
  async plain() {
    await each(async (chat) => {
      const answer = await generateText({ model: chat(id), prompt });
      assert.ok(answer.text);
      assert.equal(answer.finishReason, "stop");
      assert.ok(answer.usage.outputTokens > 0);
    });
  },

  async stream() {
    await each(async (chat) => {
      const { text } = await generateText({ model: chat(id), prompt, seed: 7 });
      assert.equal(await streamed({ model: chat(id), prompt, seed: 7 }), text);
    });
  },

  async structured() {
    const [official, , strict, responses] = providers();
    for (const chat of [official, strict, responses]) {
      const answer = await generateText({
        model: chat(id),
        prompt,
        output: Output.object({ schema: place }),
      });
      place.parse(answer.output);
    }
  },

  // The call, its result and the answer: the second step sends the first back.
  async "tools and round trip"() {
    await each(async (chat) => {
      const asked = [];
      const found = tool({
        description: "The weather in a city.",
        inputSchema: z.object({ city: z.string() }),
        execute: async ({ city }) => {
          asked.push(city);
          return "17 degrees";
        },
      });
      const answer = await generateText({
        model: chat(id),
        prompt: "What is the weather in Lisbon?",
        tools: { get_weather: found },
        stopWhen: stepCountIs(3),
      });
      assert.equal(answer.steps.length, 2);
      assert.equal(asked.length, 1);
      const messages = [
        { role: "user", content: prompt },
        ...answer.response.messages,
        { role: "user", content: prompt },
      ];
      assert.ok((await generateText({ model: chat(id), messages })).text);
    });
  },

  async errors() {
    await each(async (chat) => {
      for (const [name, status, again] of [
        ["nobody", 404, false],
        ["fault-429", 429, true],
        ["fault-content-filter", 400, false],
      ]) {
        const asked = { model: chat(name), prompt, maxRetries };
        for (const ask of [generateText, streamed]) {
          const error = await thrown(() => ask(asked));
          assert.deepEqual([error.statusCode, error.isRetryable], [status, again]);
          assert.equal(error.message, JSON.parse(error.responseBody).error.message);
        }
      }
    });
  },

  // It refers to what was said by the ids of items, and does not send it again.
  async "its default route"() {
    const model = createOpenAI(given)("offline-echo");
    assert.equal(model.provider, "openai.responses");
    const first = await generateText({ model, prompt: "blue" });
    const messages = [
      { role: "user", content: prompt },
      ...first.response.messages,
      { role: "user", content: "red" },
    ];
    const second = await generateText({ model, messages });
    assert.ok(JSON.stringify(second.request.body).includes("item_reference"));
    assert.equal(second.text, "red");
  },

  async embeddings() {
    const name = "text-embedding-3-small";
    for (const model of [
      createOpenAI(given).embedding(name),
      compatible().embeddingModel(name),
    ]) {
      const { embedding } = await embed({ model, value: "one" });
      assert.equal(embedding.length, 1536);
    }
  },

  // Of a server that is silent for longer than this client waits for a byte.
  async silence() {
    const model = providers({ fetch: impatientFetch })[1](id);
    assert.equal(await streamed({ model, prompt }), "abc");
  },

  // Of a server whose model breaks off.
  async "error in a stream"() {
    await each(async (chat) => {
      const error = await thrown(() => streamed({ model: chat(id), prompt }));
      assert.match(JSON.stringify(error) + error.message, /answer broke off/);
    });
  },
};

await report(cases, names);
