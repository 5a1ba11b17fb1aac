// What both matrices share.

import assert from "node:assert/strict";
import { Agent, fetch } from "undici";

/** A fetch that gives up when a second passes without a byte. */
const dispatcher = new Agent({ bodyTimeout: 1_000, headersTimeout: 20_000 });
export const impatientFetch = (url, init) => fetch(url, { ...init, dispatcher });

/** What `work` throws. */
export async function thrown(work) {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.fail("nothing was thrown");
}

/** Run the cases with these names; print one JSON line each. */
export async function report(cases, names) {
  for (const name of names) {
    let failure = null;
    try {
      await cases[name]();
    } catch (error) {
      failure = error.stack;
    }
    console.log(JSON.stringify({ name, failure }));
  }
}
