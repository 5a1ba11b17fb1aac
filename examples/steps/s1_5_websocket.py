"""Tokens over a WebSocket: each one is sent as soon as it is made.

Start it with `python -m course run s1.5`, open http://127.0.0.1:8000/ in a browser, and
press the button: six words come, one every half second. The page that does this is
short, and this line shows it:

    curl -s http://127.0.0.1:8000/
"""

import asyncio

from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse

app = FastAPI(title="Step s1.5: tokens over a WebSocket")


@app.websocket("/ws/tokens")
async def tokens(socket: WebSocket) -> None:
    """Receive one question, send its words one by one, then close."""
    await socket.accept()
    question = await socket.receive_json()
    for word in question["text"].split():
        await asyncio.sleep(0.5)  # the model makes the next token
        await socket.send_json({"token": word.upper()})
    await socket.close(reason="complete")


# --- A page to watch it with ---

PAGE = """<!doctype html><title>Tokens</title>
<button>Ask</button> <output></output>
<script>
document.querySelector("button").onclick = () => {
  const socket = new WebSocket(`ws://${location.host}/ws/tokens`);
  const output = document.querySelector("output");
  socket.onopen = () => socket.send('{"text": "please hold the line for me"}');
  socket.onmessage = (event) => output.append(JSON.parse(event.data).token, " ");
};
</script>"""


@app.get("/")
async def page() -> HTMLResponse:
    """Return a page whose button opens the WebSocket and shows what arrives."""
    return HTMLResponse(PAGE)
