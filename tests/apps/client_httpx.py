"""httpx as a client: usage: client_httpx.py PORT. One pooled client, JSON both ways, a streamed upload."""

import sys

import httpx

base = f"http://127.0.0.1:{sys.argv[1]}"
with httpx.Client(base_url=base, headers={"Host": "fastapi.test"}, timeout=20) as client:
    told = client.get("/json", params={"a": "b c"}).raise_for_status().json()
    assert told == {"client": "127.0.0.1", "scheme": "http", "host": "fastapi.test", "query": "a=b+c"}, told
    document = {"list": list(range(1000)), "text": "grüße"}
    assert client.post("/json", json=document).raise_for_status().json() == document

    def pieces():
        """A body of unknown length: httpx sends it chunked."""
        yield b'{"chunked": '
        yield b"true}"

    answer = client.post("/json", content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.raise_for_status().json() == {"chunked": True}
    assert client.head("/json").status_code == 405  # FastAPI adds no HEAD; the proxy must not hang on it
    assert client.get("/nowhere").status_code == 404
print("ok")
