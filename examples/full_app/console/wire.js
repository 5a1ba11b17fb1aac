/** The wire: one panel's log of what was sent and what came, and when. */

import { Lane } from "/console/race.js";

const MAX_LINES = 400; // lines that a panel shows

/** JSON for reading: a message stands in one line, and so does a list of one message. */
export const pretty = (value) => JSON.stringify(value, null, 1)
  .replace(/\{\s+"role": ("\w+"),\s+"content": (".*")\s+\}/g, '{"role": $1, "content": $2}')
  .replace(/"(messages|input)": \[\s+(\{.*\})\s+\]/g, '"$1": [$2]');

export class Panel {
  constructor(parts, race, { title, what, whatOfResponses, body, wrap, words, more }) {
    this.root = document.getElementById("panel").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.root.querySelector(selector);
    this.editor = find("textarea");
    this.wire = find(".wire");
    this.result = find(".result");
    this.status = find(".status");
    this.progress = find("progress");
    this.send = find(".send");
    this.cancel = find(".cancel");
    this.more = find(".more");
    this.wrap = wrap;
    this.root.id = title.toLowerCase().split(" ")[0];
    find("h2").textContent = title;
    find("h2").id = `${this.root.id}-title`;
    this.root.setAttribute("aria-labelledby", find("h2").id);
    this.what = find(".what");
    this.whats = { chat: what, responses: whatOfResponses ?? what };
    this.describe("chat");
    this.wire.setAttribute("aria-label", `${title}: wire`);
    this.result.setAttribute("aria-label", `${title}: result`);
    this.progress.setAttribute("aria-label", `${title}: progress`);
    this.editor.value = pretty(body);
    if (more) Object.assign(this.more, { textContent: more, hidden: false });
    this.lane = new Lane(race, title, words);
    this.cancel.addEventListener("click", () => this.stop());
    this.wire.addEventListener("keydown", (event) => this.walk(event));
    parts.append(this.root);
  }

  /**
   * Runs `work(signal)` with the buttons set for it, and shows what fails.
   *
   * `work` may return a sentence: the request came through, and what it says failed.
   */
  async run(work, { keep = false } = {}) {
    if (!keep) {
      this.wire.replaceChildren();
      this.result.textContent = "";
      this.progress.hidden = true;
    }
    this.began = performance.now();
    this.lane.reset();
    this.aborted = new AbortController();
    this.send.disabled = true;
    this.more.disabled = true;
    this.cancel.disabled = false;
    this.say("running");
    let problem;
    try {
      problem = await work(this.aborted.signal);
    } catch (error) {
      problem = this.aborted.signal.aborted
        ? `cancelled after ${this.elapsed()}` : error.message;
    } finally {
      this.send.disabled = false;
      this.cancel.disabled = true;
    }
    this.lane.end(problem);
    if (problem) this.say(problem, "bad");
    else this.say(`done in ${this.elapsed()}`, "good");
  }

  /** Says what the panel does by this API. */
  describe(api) { this.what.textContent = this.whats[api]; }

  /** A panel that cannot work here says why. */
  disable(why) {
    this.send.disabled = true;
    this.more.disabled = true;
    this.unavailable = true;
    this.say("not here");
    this.lane.words.textContent = "not here";
    this.result.textContent = why;
  }

  stop() { this.aborted?.abort(); }

  elapsed() {
    const took = performance.now() - this.began;
    return took < 1000 ? `${took.toFixed(0)} ms` : `${(took / 1000).toFixed(2)} s`;
  }

  say(text, how = "") {
    this.status.textContent = text;
    this.status.className = `status ${how}`;
  }

  /** One line with its time. `json`, if given, is shown whole when the line is clicked. */
  log(text, { how = "", json } = {}) {
    const line = document.createElement("li");
    const at = document.createElement("time");
    at.textContent = this.elapsed();
    line.append(at, json === undefined ? plain(text, how) : folded(text, how, json));
    const atEnd = this.wire.scrollHeight - this.wire.scrollTop - this.wire.clientHeight < 40;
    this.wire.append(line);
    if (this.wire.childElementCount > MAX_LINES) this.wire.firstElementChild.remove();
    // Who has scrolled up to read is left there.
    if (atEnd) this.wire.scrollTop = this.wire.scrollHeight;
  }

  /** The arrow keys go from frame to frame: four hundred Tab stops would be too many. */
  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const frames = [...this.wire.querySelectorAll("summary")];
    const next = frames[frames.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}

function plain(text, how) {
  return Object.assign(document.createElement("span"), { textContent: text, className: how });
}

function folded(text, how, json) {
  const details = document.createElement("details");
  const summary = Object.assign(document.createElement("summary"),
    { textContent: text, className: how, tabIndex: -1 });
  const whole = Object.assign(document.createElement("pre"), { textContent: pretty(json) });
  details.append(summary, whole);
  return details;
}

/** `fetch`, which tells "nobody listens there" from every other failure. */
async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw stopped();
  }
}

function stopped() {
  document.dispatchEvent(new Event("service-stopped"));
  return new Error("The service has stopped.");
}

/** Sends a request and logs both of its directions; an error status throws. */
export async function call(panel, method, path, { body, headers = {}, signal } = {}) {
  panel.log(`→ ${method} ${path}`);
  const key = document.getElementById("key").value;
  const sent = { ...headers, ...(key && { Authorization: `Bearer ${key}` }) };
  if (body) sent["Content-Type"] = "application/json";
  const response = await reach(path, { method, headers: sent, body, signal });
  panel.log(`← ${response.status} ${response.headers.get("content-type") ?? ""}`,
    { how: response.ok ? "good" : "bad" });
  for (const name of ["retry-after", "location", "content-location"]) {
    const value = response.headers.get(name);
    if (value) panel.log(`${name}: ${value}`);
  }
  meter(response.headers);
  if (response.ok) return response;
  const unknown = response.status === 401 && path.startsWith("/v1/");
  if (unknown) document.getElementById("key-field").hidden = false;
  const text = await response.text();
  let message = text.slice(0, 200);
  try {
    const answer = JSON.parse(text);
    message = answer.error.message;
    panel.log(answer.error.code ?? answer.error.type, { how: "bad", json: answer });
    panel.result.textContent = pretty(answer);
  } catch {
    panel.log(message, { how: "bad" }); // not our body: a proxy's page, for instance
  }
  throw new Error(`${response.status}: ${message}`);
}

function meter(headers) {
  for (const kind of ["requests", "tokens"]) {
    const limit = Number(headers.get(`x-ratelimit-limit-${kind}`));
    if (!limit) continue;
    const left = Number(headers.get(`x-ratelimit-remaining-${kind}`));
    document.getElementById(kind).value = left / limit;
    document.getElementById(`${kind}-left`).textContent =
      `${left.toLocaleString("en")} of ${limit.toLocaleString("en")}`;
  }
}

/** The part of an event that a person looks for, in a few words. */
function inShort(name, value) {
  if (value.error) return `error: ${value.error.code ?? value.error.type}`;
  if (value.type === "response.output_text.delta") return JSON.stringify(value.delta);
  if (value.progress) {
    return `${name}, ${value.progress.done} of ${value.progress.total}`;
  }
  const choice = value.choices?.[0];
  if (choice?.delta?.content) return JSON.stringify(choice.delta.content);
  if (choice?.finish_reason) return `finish_reason: ${choice.finish_reason}`;
  if (choice?.delta?.role) return `role: ${choice.delta.role}`;
  if (value.usage) return `usage: ${value.usage.total_tokens} tokens`;
  return name ?? "data";
}

function show(panel, event) {
  panel.lane.frame();
  try {
    const json = JSON.parse(event.data);
    panel.log(inShort(event.name, json), { json });
  } catch {
    panel.log(event.data); // [DONE]
  }
}

async function next(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw stopped();
  }
}

/** Yields `{id, name, data}` of each server-sent event; comments are only logged. */
export async function* events(panel, response, signal) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = {};
  for (;;) {
    const { value, done } = await next(reader, signal);
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith(":")) panel.log(line);
      else if (line.startsWith("id: ")) event.id = line.slice(4);
      else if (line.startsWith("event: ")) event.name = line.slice(7);
      else if (line.startsWith("data: ")) event.data = line.slice(6);
      else if (line === "" && event.data !== undefined) {
        show(panel, event);
        yield event;
        event = {};
      }
    }
  }
}
