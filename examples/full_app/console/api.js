/** Two APIs for one question: a request of one in the words of the other. */

const IN_RESPONSES = { messages: "input", max_tokens: "max_output_tokens",
  max_completion_tokens: "max_output_tokens" };
const IN_CHAT = { input: "messages", max_output_tokens: "max_tokens" };

const renamed = (body, names) => Object.fromEntries(
  Object.entries(body).map(([name, value]) => [names[name] ?? name, value]));

/** A chat request as a request for a response; fields that both have stay as they are. */
export function asResponse(body) {
  const { response_format: format, reasoning_effort: effort, verbosity, ...rest } = body;
  const converted = renamed(rest, IN_RESPONSES);
  if (body.messages) converted.input = body.messages.flatMap(asItems);
  if (body.tools) converted.tools = body.tools.map(flatTool);
  if (body.tool_choice?.function) converted.tool_choice = flatTool(body.tool_choice);
  if (effort) converted.reasoning = { effort };
  if (format || verbosity) {
    const { json_schema: schema, ...kind } = format ?? { type: "text" };
    converted.text = { format: { ...kind, ...schema }, ...(verbosity && { verbosity }) };
  }
  return converted;
}

/** The other way; an input that is one text becomes the user's message. */
export function asChat(body) {
  const { text, reasoning, instructions, background, ...rest } = body;
  const converted = renamed(rest, IN_CHAT);
  if (body.input !== undefined) {
    const items = typeof body.input === "string"
      ? [{ role: "user", content: body.input }] : body.input;
    converted.messages = asMessages(items);
  }
  if (instructions) {
    converted.messages = [{ role: "system", content: instructions },
      ...(converted.messages ?? [])];
  }
  if (body.tools) converted.tools = body.tools.map(nestedTool);
  if (body.tool_choice?.name) converted.tool_choice = nestedTool(body.tool_choice);
  if (reasoning?.effort) converted.reasoning_effort = reasoning.effort;
  if (text?.verbosity) converted.verbosity = text.verbosity;
  if (text?.format && text.format.type !== "text") {
    const { type, ...schema } = text.format;
    converted.response_format = type === "json_schema" ? { type, json_schema: schema } : { type };
  }
  return converted;
}

function asItems({ role, content, tool_calls: calls, tool_call_id: id, ...rest }) {
  if (role === "tool") return [{ type: "function_call_output", call_id: id, output: content }];
  const said = content ? [{ role, content, ...rest }] : [];
  return [...said, ...(calls ?? []).map(({ id: call_id, function: { name, arguments: text } }) =>
    ({ type: "function_call", call_id, name, arguments: text }))];
}

/** Calls that follow each other are one message of the assistant. */
function asMessages(items) {
  const messages = [];
  for (const item of items) {
    const { type, call_id: id, output, name, arguments: text, ...rest } = item;
    if (type === "function_call_output") {
      messages.push({ role: "tool", tool_call_id: id, content: output });
    } else if (type === "function_call") {
      const call = { id, type: "function", function: { name, arguments: text } };
      const last = messages.at(-1);
      if (last?.role === "assistant") last.tool_calls = [...(last.tool_calls ?? []), call];
      else messages.push({ role: "assistant", content: null, tool_calls: [call] });
    } else {
      messages.push({ ...rest });
    }
  }
  return messages;
}

const flatTool = ({ type, function: it }) => ({ type, ...it });
const nestedTool = ({ type, ...it }) => ({ type, function: it });

/** The text of a response: of all its messages. */
export function outputText(response) {
  return response.output
    .flatMap((item) => item.content ?? [])
    .map((part) => part.text ?? part.refusal ?? "")
    .join("");
}

/**
 * An editor whose request can be converted, and converted back.
 *
 * A text that was not changed since it was converted is exchanged for the very text that
 * it was made from; one that is no JSON stays as it was typed.
 */
export class Convertible {
  constructor(editor, convert, pretty) {
    this.editor = editor;
    this.convert = convert; // by the name of the API to go to
    this.pretty = pretty;
    this.before = undefined; // the last conversion: `typed` became `converted`, for `api`
  }

  to(api) {
    const typed = this.editor.value;
    if (this.before?.converted === typed && this.before.api !== api) {
      this.editor.value = this.before.typed;
    } else {
      try {
        this.editor.value = this.pretty(this.convert[api](JSON.parse(typed)));
      } catch {
        return; // what is no JSON, or no request, is not ours to change
      }
    }
    this.before = { api, typed, converted: this.editor.value };
  }
}
