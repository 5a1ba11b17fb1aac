/** The wire: one panel's log of what was sent and came, and when. */

const MOST = 400; // lines that a panel shows

/** JSON for reading: what is asked in one line, so that it is seen. */
export const pretty = (value) => JSON.stringify(value, null, 1)
  .replace(/\{\s+"role": ("\w+"),\s+"content": (".*")\s+\}/g, '{"role": $1, "content": $2}');

export class Panel {
  constructor(parts, { title, what, body, more }) {
    this.root = document.getElementById("panel").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.root.querySelector(selector);
    [this.editor, this.wire, this.result] = [find("textarea"), find(".wire"), find(".result")];
    [this.status, this.progress] = [find(".status"), find("progress")];
    [this.send, this.cancel, this.more] = [".send", ".cancel", ".more"].map(find);
    this.root.id = title.toLowerCase().split(" ")[0];
    find("h2").textContent = title;
    find("h2").id = `${this.root.id}-title`;
    this.root.setAttribute("aria-labelledby", find("h2").id);
    find(".what").textContent = what;
    this.wire.setAttribute("aria-label", `${title}: wire`);
    this.result.setAttribute("aria-label", `${title}: result`);
    this.progress.setAttribute("aria-label", `${title}: progress`);
    this.editor.value = pretty(body);
    if (more) Object.assign(this.more, { textContent: more, hidden: false });
    this.cancel.addEventListener("click", () => this.stop());
    parts.append(this.root);
  }

  /** Runs `work(signal)` with the buttons set for it; what fails is shown. */
  async run(work, keep = false) {
    if (!keep) {
      this.wire.replaceChildren();
      this.result.textContent = "";
      this.began = performance.now();
    }
    this.aborted = new AbortController();
    [this.send.disabled, this.more.disabled, this.cancel.disabled] = [true, true, false];
    this.say("running");
    try {
      await work(this.aborted.signal);
      this.say(`done in ${this.elapsed()}`, "good");
    } catch (error) {
      const cancelled = this.aborted.signal.aborted;
      this.say(cancelled ? `cancelled after ${this.elapsed()}` : error.message, "bad");
    } finally {
      [this.send.disabled, this.cancel.disabled] = [false, true];
    }
  }

  /** A panel that cannot work here says why. */
  disable(why) {
    [this.send.disabled, this.more.disabled] = [true, true];
    this.say("not here");
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

  log(text, how = "") {
    const line = document.createElement("li");
    const [at, what] = [document.createElement("time"), document.createElement("span")];
    at.textContent = this.elapsed();
    what.textContent = text;
    what.className = how;
    line.append(at, what);
    this.wire.append(line);
    if (this.wire.childElementCount > MOST) this.wire.firstElementChild.remove();
    this.wire.scrollTop = this.wire.scrollHeight;
  }
}

/** Sends a request and logs both of its directions; an error status throws. */
export async function call(panel, method, path, { body, headers = {}, signal } = {}) {
  panel.log(`→ ${method} ${path}`);
  const key = document.getElementById("key").value;
  const sent = { ...headers, ...(key && { Authorization: `Bearer ${key}` }) };
  if (body) sent["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers: sent, body, signal });
  panel.log(`← ${response.status} ${response.headers.get("content-type") ?? ""}`,
    response.ok ? "good" : "bad");
  for (const name of ["retry-after", "location", "content-location"]) {
    const value = response.headers.get(name);
    if (value) panel.log(`${name}: ${value}`);
  }
  meter(response.headers);
  if (response.ok) return response;
  const unknown = response.status === 401 && path.startsWith("/v1/");
  if (unknown) document.getElementById("key-field").hidden = false;
  const text = await response.text();
  panel.log(text.slice(0, 500), "bad");
  let message = text.slice(0, 200);
  try { message = JSON.parse(text).error.message; } catch { /* a proxy's page, say */ }
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

/** What all frames of a stream share is shown once, then as an ellipsis. */
function shortened(panel, line) {
  const [envelope] = line.match(/^data: \{"id":"chatcmpl-.*?(?="choices")/) ?? [];
  if (!envelope) return line;
  if (panel.envelope !== envelope) { panel.envelope = envelope; return line; }
  return `data: {… ${line.slice(envelope.length)}`;
}

/** Yields `{id, data}` of each server-sent event; comments are only logged. */
export async function* events(panel, response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, event] = ["", {}];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line) panel.log(shortened(panel, line));
      if (line.startsWith("id: ")) event.id = line.slice(4);
      else if (line.startsWith("data: ")) event.data = line.slice(6);
      else if (line === "" && event.data !== undefined) {
        yield event;
        event = {};
      }
    }
  }
}
