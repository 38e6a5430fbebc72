// An app that speaks TLS itself and tells what it sees. Behind hotgate in tests/apps_tls.rs.
// usage: node https_app.js PORT CERT KEY
"use strict";
const fs = require("node:fs");
const https = require("node:https");

const [port, cert, key] = process.argv.slice(2);
https
  .createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, (request, response) => {
    let octets = 0;
    request.on("data", (piece) => (octets += piece.length));
    request.on("end", () => {
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          method: request.method,
          url: request.url,
          host: request.headers.host,
          name: request.socket.servername,
          version: request.socket.getProtocol(),
          octets,
        }),
      );
    });
  })
  .listen(Number(port), "127.0.0.1");
