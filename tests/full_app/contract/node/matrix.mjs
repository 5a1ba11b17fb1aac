// The official client for Node against a running full_app: one case a name.
// Usage: node matrix.mjs <base URL> <key> <case>...  Prints one JSON line a case.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { impatientFetch, report, thrown } from "./cases.mjs";

const [baseURL, apiKey, ...names] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const chat = client.chat.completions;
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Why does streaming feel faster?" }];
const place = {
  type: "object",
  properties: { city: { type: "string" }, people: { type: "integer" } },
  required: ["city", "people"],
  additionalProperties: false,
};
const tools = [
  { type: "function", function: { name: "find_place", parameters: place } },
];
const asJSON = {
  type: "json_schema",
  json_schema: { name: "place", schema: place, strict: true },
};

/** The text of a stream. */
async function joined(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

const cases = {
  async plain() {
    const answer = await chat.create({ model, messages });
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.match(answer._request_id, /^req_/);
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    assert.equal(prompt_tokens + completion_tokens, total_tokens);
  },

  async stream() {
    const whole = await chat.create({ model, messages, seed: 7 });
    const asked = { model, messages, seed: 7, stream: true };
    const text = await joined(await chat.create(asked));
    assert.equal(text, whole.choices[0].message.content);
  },

  async "stream helper"() {
    const stream = chat.stream({
      model,
      messages,
      stream_options: { include_usage: true },
    });
    const final = await stream.finalChatCompletion();
    assert.ok(final.choices[0].message.content);
    assert.ok(final.usage.completion_tokens > 0);
  },

  async structured() {
    const asked = { model, messages, response_format: asJSON };
    const whole = await chat.create(asked);
    const found = JSON.parse(whole.choices[0].message.content);
    assert.deepEqual(Object.keys(found).sort(), ["city", "people"]);
    const parsed = await chat.parse(asked);
    assert.ok(parsed.choices[0].message.content);
    const final = await chat.stream(asked).finalContent();
    assert.ok(final);
  },

  async tools() {
    const asked = { model, messages, tools, tool_choice: "required" };
    const answer = await chat.create(asked);
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, "find_place");
    assert.equal(typeof JSON.parse(call.function.arguments).people, "number");
    const ended = new Promise((done) => {
      chat.stream(asked).on("tool_calls.function.arguments.done", done);
    });
    assert.equal((await ended).arguments, call.function.arguments);
  },

  async "round trip"() {
    const first = await chat.create({ model, messages, tools, tool_choice: "required" });
    const { message } = first.choices[0];
    const tool_call_id = message.tool_calls[0].id;
    const history = [
      ...messages,
      message,
      { role: "tool", tool_call_id, content: "Lisbon, half a million" },
    ];
    const second = await chat.create({ model, messages: history, tools });
    const parsed = await chat.parse({ model, messages, response_format: asJSON });
    history.push(second.choices[0].message, messages[0], parsed.choices[0].message);
    const helped = await chat
      .stream({ model, messages: [...history, messages[0]] })
      .finalMessage();
    history.push(messages[0], helped, messages[0]);
    const last = await chat.create({ model, messages: history });
    assert.ok(last.choices[0].message.content);
  },

  async errors() {
    const expected = [
      [{ model: "nobody" }, OpenAI.NotFoundError, 404, "model_not_found"],
      [{ temperature: 9 }, OpenAI.BadRequestError, 400, "validation_error"],
      [{ foo: 1 }, OpenAI.BadRequestError, 400, "unknown_parameter"],
      [{ model: "fault-429" }, OpenAI.RateLimitError, 429, "rate_limit_exceeded"],
      [{ model: "fault-503" }, OpenAI.InternalServerError, 503, "service_unavailable"],
    ];
    for (const stream of [false, true]) {
      for (const [change, kind, status, code] of expected) {
        const error = await thrown(() => chat.create({ model, messages, stream, ...change }));
        assert.ok(error instanceof kind, `${error}`);
        assert.deepEqual([error.status, error.code], [status, code]);
        assert.match(error.requestID, /^req_/);
        assert.equal(error.error.request_id, error.requestID);
        assert.ok(error.message.includes(error.error.message));
      }
    }
    const stranger = new OpenAI({ baseURL, apiKey: "no", maxRetries: 0 });
    const refused = await thrown(() => stranger.models.list());
    assert.ok(refused instanceof OpenAI.AuthenticationError);
    const cut = await thrown(async () =>
      joined(await chat.create({ model: "fault-reset-after-3", messages, stream: true })),
    );
    assert.ok(!(cut instanceof assert.AssertionError));
  },

  async responses() {
    const input = "Why does streaming feel faster?";
    const whole = await client.responses.create({ model, input });
    assert.ok(whole.output_text);
    const next = { model, input: "And why?", previous_response_id: whole.id };
    assert.ok((await client.responses.create(next)).output_text);
    const items = [];
    for await (const item of client.responses.inputItems.list(whole.id)) items.push(item);
    assert.equal(items[0].content[0].text, input);
    await client.responses.delete(whole.id);
    const gone = await thrown(() => client.responses.retrieve(whole.id));
    assert.equal(gone.code, "response_not_found");
  },

  async "responses stream"() {
    const input = "Why does streaming feel faster?";
    const whole = await client.responses.create({ model, input });
    const stream = client.responses.stream({ model, input });
    assert.equal((await stream.finalResponse()).output_text, whole.output_text);
    const find = { ...tools[0].function, type: "function", strict: true };
    const asked = { model, input, tools: [find], tool_choice: "required" };
    const [call] = (await client.responses.stream(asked).finalResponse()).output;
    assert.equal(typeof JSON.parse(call.arguments).people, "number");
  },

  async retries() {
    const patient = new OpenAI({ baseURL, apiKey, maxRetries: 2 });
    const content = `flaky for Node at ${Date.now()}`;
    const asked = { model: "fault-flaky", messages: [{ role: "user", content }] };
    const answer = await patient.chat.completions.create(asked);
    assert.ok(answer.choices[0].message.content);
  },

  async embeddings() {
    const asked = { model: "text-embedding-3-small", input: ["one", "two"] };
    const standard = await client.embeddings.create(asked);
    const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });
    assert.equal(standard.data.length, 2);
    standard.data[0].embedding.forEach((number, at) =>
      assert.ok(Math.abs(number - floats.data[0].embedding[at]) < 1e-6),
    );
  },

  async models() {
    const ids = [];
    for await (const found of client.models.list()) ids.push(found.id);
    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  // Of a server that is silent for longer than this client waits for a byte.
  async silence() {
    const impatient = new OpenAI({ baseURL, apiKey, maxRetries: 0, fetch: impatientFetch });
    const asked = { model, messages, stream: true };
    assert.equal(await joined(await impatient.chat.completions.create(asked)), "abc");
  },

  // Of a server whose model breaks off.
  async "error in a stream"() {
    const stream = await chat.create({ model, messages, stream: true });
    const error = await thrown(() => joined(stream));
    assert.ok(error instanceof OpenAI.APIError, `${error}`);
    assert.equal(error.code, "model_error");
    assert.match(error.error.request_id, /^req_/);
  },
};

await report(cases, names);
