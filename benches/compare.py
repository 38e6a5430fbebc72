#!/usr/bin/env python3
"""CPU per request beside nginx: both proxies in front of one origin, in interleaved rounds.

    cargo build --release && benches/compare.py [--clients 64] [--rounds 10] [--seconds 3]

Needs nginx, wrk and taskset, and two cores: each proxy has core 0 to itself while it is asked, the origin (nginx too)
and wrk have core 1. One worker each, access logs off, upstream keep-alive for more connections than there are clients,
and the same forwarding fields set by both. CPU is that of all threads of the proxy, from /proc/PID/task/*/schedstat.
Everything listens on loopback. What is measured is printed round by round, lost rounds too.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORIGIN, NGINX, HOTGATE = 21900, 21901, 21902

COMMON = """
worker_processes 1;
daemon off;
pid {folder}/{name}.pid;
error_log {folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    {body}
}}
"""
ORIGIN_BODY = """
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        location / {{ return 200 "{content}"; }}
    }}
"""
PROXY_BODY = """
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Real-IP $remote_addr;
        }}
    }}
"""
HOTGATE_CONFIG = """
[server]
http = ["127.0.0.1:{port}"]
workers = 1
backend = "{backend}"
[log.access]
path = "off"
[sites]
"*" = {origin}
"""


def family(pid):
    """A process and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu_seconds(pid):
    """CPU time of all threads of a process and its children, in seconds."""
    total = 0
    for member in family(pid):
        for task in pathlib.Path(f"/proc/{member}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def start(core, *command):
    return subprocess.Popen(["taskset", "-c", str(core), *command], stderr=subprocess.DEVNULL)


def load(port, options):
    """Requests done, requests a second, p99 and errors, as wrk has them."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{options.clients}", f"-d{options.seconds}s", "--latency"]
    text = subprocess.run([*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True).stdout
    errors = re.search(r"(Non-2xx.*|Socket errors.*)", text)
    return (
        int(re.search(r"(\d+) requests in", text).group(1)),
        float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        re.search(r"99%\s+(\S+)", text).group(1),
        errors.group(1) if errors else "",
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--backend", choices=["io_uring", "epoll"], default="io_uring")
    parser.add_argument("--binary", default=str(ROOT / "target/release/hotgate"))
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        def write(name, text):
            path = pathlib.Path(folder) / name
            path.write_text(text)
            return str(path)

        def nginx(name, body):
            return write(f"{name}.conf", COMMON.format(folder=folder, name=name, body=body))

        origin = nginx("origin", ORIGIN_BODY.format(port=ORIGIN, content="0123456789abcdef" * 8))
        proxy = nginx("proxy", PROXY_BODY.format(port=NGINX, origin=ORIGIN))
        config = write("hotgate.toml", HOTGATE_CONFIG.format(port=HOTGATE, origin=ORIGIN, backend=options.backend))
        running = [
            start(1, "nginx", "-c", origin),
            start(0, "nginx", "-c", proxy),
            start(0, options.binary, "run", "-c", config),
        ]
        try:
            time.sleep(1)
            measure([("nginx", NGINX, running[1].pid), ("hotgate", HOTGATE, running[2].pid)], options)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()


def measure(proxies, options):
    costs = {name: [] for name, _, _ in proxies}
    for round_number in range(options.rounds):
        for name, port, pid in proxies:
            before = cpu_seconds(pid)
            began = time.monotonic()
            requests, rate, p99, errors = load(port, options)
            used = cpu_seconds(pid) - before
            busy = used / (time.monotonic() - began)
            costs[name].append(used / requests * 1e6)
            cost = costs[name][-1]
            print(f"{round_number:2} {name:8} {rate:9.0f}/s {cost:6.2f} us/request  core {busy:4.0%}  p99 {p99} {errors}")
    ratios = [ours / theirs for ours, theirs in zip(costs["hotgate"], costs["nginx"])]
    for name, values in costs.items():
        print(f"{name}: median {statistics.median(values):.2f} us/request ({min(values):.2f} to {max(values):.2f})")
    low, high = min(ratios), max(ratios)
    print(f"hotgate / nginx, round by round: median {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
