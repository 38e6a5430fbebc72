"""Server-sent events must come at once: usage: client_events.py PORT."""

import sys

import httpx

base = f"http://127.0.0.1:{sys.argv[1]}"
with httpx.Client(base_url=base, headers={"Host": "fastapi.test"}, timeout=20) as client:
    with client.stream("GET", "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == "data: first"
        # The app sends the second event only after this: had the first been held back, we would wait for ever.
        client.post("/release").raise_for_status()
        assert [line for line in lines if line] == ["data: second"]
print("ok")
