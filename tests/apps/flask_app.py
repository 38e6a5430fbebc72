"""A Flask app that counts in Redis. Under gunicorn behind hotgate in tests/apps.rs."""

import os

import redis
from flask import Flask, Response, request

app = Flask(__name__)
store = redis.Redis(unix_socket_path=os.environ["REDIS_SOCKET"]) if "REDIS_SOCKET" in os.environ else None


@app.get("/count")
def count():
    """One more visit."""
    return {"count": store.incr("visits"), "client": request.headers.get("X-Real-IP")}


@app.post("/echo")
def echo():
    """The body that came."""
    return Response(request.get_data(), mimetype="application/octet-stream")


@app.get("/large")
def large():
    """An answer that a slow reader takes long for, and that fits hotgate's response_buffer."""
    return Response(b"x" * 200_000, mimetype="text/plain")


@app.get("/small")
def small():
    """An answer for somebody in a hurry."""
    return "small"
