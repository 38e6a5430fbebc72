// An Express app that tells what it sees. Behind hotgate, under a prefix, in tests/apps.rs.
// usage: node express_app.js PORT NAME
"use strict";
const express = require("express");

const [port, name] = process.argv.slice(2);
const app = express();
app.use(express.text({ type: () => true, limit: "1mb" }));

const tell = (request, response) =>
  response.json({
    app: name,
    method: request.method,
    url: request.originalUrl,
    prefix: request.get("x-forwarded-prefix") ?? null,
    client: request.get("x-forwarded-for") ?? null,
    body: typeof request.body === "string" ? request.body : null,
  });
app.use(tell);

// node's own default is 5 s; said here because the test lives on it.
const server = app.listen(Number(port), "127.0.0.1");
server.keepAliveTimeout = 5000;
