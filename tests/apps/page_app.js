// A page that loads a stylesheet and twenty images and speaks over a WebSocket. In a browser in tests/browser.rs; in
// tests/examples.rs the page at /, and Grafana's place: like Grafana it refuses a WebSocket of another origin.
// usage: node page_app.js PORT
"use strict";
const express = require("express");
const { WebSocketServer } = require("ws");

const IMAGES = 20;
// A GIF of one pixel.
const PIXEL = Buffer.from("R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=", "base64");

// Filled by the script below: what came back over the WebSocket, and how many images have arrived.
const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>hotgate</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<h1 id="heading">a page behind hotgate</h1>
<p>images: <output id="images">0</output></p>
<p>messages: <output id="messages">none</output></p>
${Array.from({ length: IMAGES }, (_, n) => `<img src="/image/${n}.gif" alt="">`).join("\n")}
<script src="/script.js"></script>
`;

const SCRIPT = `
const show = (id, text) => { document.getElementById(id).textContent = text; };
addEventListener("load", () => {
  const loaded = [...document.images].filter((image) => image.complete && image.naturalWidth === 1);
  show("images", loaded.length);
});
const messages = [];
const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/api/live/ws");
socket.binaryType = "arraybuffer";
socket.onopen = () => { socket.send("hello"); socket.send(new Uint8Array([1, 2, 3])); socket.send("x".repeat(100000)); };
socket.onmessage = ({ data }) => {
  messages.push(typeof data === "string" ? (data.length > 20 ? "text of " + data.length : data)
                                         : "octets " + new Uint8Array(data).join(","));
  if (messages.length === 3) socket.close(1000, "done");
};
socket.onclose = ({ code, wasClean }) => show("messages", messages.join("; ") + "; closed " + code + (wasClean ? " cleanly" : ""));
socket.onerror = () => show("messages", "the WebSocket failed");
`;

const app = express();
app.disable("x-powered-by");
app.get("/", (_, response) => response.type("html").send(PAGE));
app.get("/script.js", (_, response) => response.type("js").send(SCRIPT));
app.get("/style.css", (_, response) => response.type("css").send("#heading { color: rgb(1, 2, 3); }"));
app.get("/image/:name", (_, response) => response.type("gif").send(PIXEL));
app.get("/api/told", (request, response) => response.json({ host: request.get("host"), client: request.get("x-real-ip") }));

const server = app.listen(Number(process.argv[2]), "127.0.0.1");
const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
  const origin = request.headers.origin;
  const isOurs = request.url.split("?")[0] === "/api/live/ws" && origin && new URL(origin).host === request.headers.host;
  if (!isOurs) {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 18\r\nConnection: close\r\n\r\norigin not allowed");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) =>
    client.on("message", (data, isBinary) => client.send(data, { binary: isBinary })));
});
