"""A FastAPI app: JSON, server-sent events, a WebSocket. Behind hotgate in tests/apps.rs and tests/examples.rs."""

import asyncio
import os

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

app = FastAPI()
released = asyncio.Event()


@app.get("/json")
async def tell(request: Request):
    """What the app is told of the client."""
    return {
        "client": request.headers.get("x-forwarded-for"),
        "scheme": request.headers.get("x-forwarded-proto"),
        "host": request.headers.get("host"),
        "query": str(request.url.query),
    }


@app.post("/json")
async def echo(request: Request):
    """The JSON document that came."""
    return await request.json()


@app.get("/who")
async def who(request: Request):
    """What uvicorn believes of the client, and which process this is."""
    return {"client": request.client.host, "url": str(request.url), "process": os.getpid()}


@app.get("/healthz")
async def health():
    """For those who ask every second."""
    return {"status": "ok"}


@app.put("/uploads/{name}")
async def upload(request: Request):
    """How many octets came, none of them kept."""
    count = 0
    async for piece in request.stream():
        count += len(piece)
    return {"octets": count}


@app.get("/events")
async def events():
    """One event at once, the second only after POST /release: a proxy that buffers shows neither."""

    async def stream():
        yield "data: first\n\n"
        await released.wait()
        yield "data: second\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.post("/release")
async def release():
    """Lets the second event go."""
    released.set()
    return {"released": True}


@app.websocket("/ws")
async def shout(socket: WebSocket):
    """Sends back each text in capitals, each binary message reversed."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message.get("text") is not None:
                await socket.send_text(message["text"].upper())
            elif message.get("bytes") is not None:
                await socket.send_bytes(message["bytes"][::-1])
            else:
                return
    except WebSocketDisconnect:
        pass
