// node's https module and its fetch (undici) as clients of one Express app behind TLS.
// usage: node client_https.js HTTP_PORT HTTPS_PORT CA_FILE, or with "none" for CA_FILE as one who does not believe it.
// fetch takes what it believes from NODE_EXTRA_CA_CERTS alone.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const https = require("node:https");

const [httpPort, httpsPort, file] = process.argv.slice(2);
const ca = file === "none" ? undefined : fs.readFileSync(file);
const base = { host: "127.0.0.1", servername: "localhost", port: httpsPort, ca };

/** The response's status and content, and what is known of the connection. */
function get(path, options) {
  return new Promise((resolve, reject) => {
    const headers = { host: `localhost:${httpsPort}` };
    const request = https.get({ ...base, path, headers, ...options }, (response) => {
      const { socket } = response;
      const seen = {
        status: response.statusCode,
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
        isResumed: socket.isSessionReused(),
        isReused: request.reusedSocket,
      };
      let text = "";
      response.setEncoding("utf8").on("data", (piece) => (text += piece));
      response.on("end", () => resolve({ ...seen, text })).on("error", reject);
    });
    request.on("error", reject);
  });
}

const told = (method, url, body) => ({ app: "app", method, url, prefix: null, client: "127.0.0.1", body });

async function believing() {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await get("/one", { agent, ALPNProtocols: ["http/1.1"] });
  assert.deepEqual(JSON.parse(first.text), told("GET", "/one", null));
  assert.deepEqual([first.status, first.protocol, first.alpn], [200, "TLSv1.3", "http/1.1"]);
  assert.equal(first.isResumed, false);
  const second = await get("/two", { agent, ALPNProtocols: ["http/1.1"] });
  assert.equal(second.isReused, true);
  agent.destroy();
  // The agent remembers the session, also where the connection is gone.
  const again = await get("/three", { agent, ALPNProtocols: ["http/1.1"] });
  assert.deepEqual([again.isReused, again.isResumed], [false, true]);
  agent.destroy();

  // This node offers no protocol by itself: it is served all the same.
  const older = await get("/", { agent: false, maxVersion: "TLSv1.2" });
  assert.deepEqual([older.status, older.protocol, older.alpn], [200, "TLSv1.2", false]);
  const both = await get("/", { agent: false, ALPNProtocols: ["h2", "http/1.1"] });
  assert.equal(both.alpn, "http/1.1");
  await assert.rejects(get("/", { agent: false, ALPNProtocols: ["h2"] }), /no application protocol/i);
  await assert.rejects(get("/", { agent: false, servername: "else.test" }), /unrecognized name/i);

  const origin = `https://localhost:${httpsPort}`;
  const fetched = await fetch(`${origin}/deep?x=1`);
  assert.deepEqual([fetched.status, await fetched.json()], [200, told("GET", "/deep?x=1", null)]);
  const body = "a=b".repeat(300_000);
  const posted = await fetch(`${origin}/form`, { method: "POST", body });
  assert.equal((await posted.json()).body, body);
  const many = await Promise.all(Array.from({ length: 100 }, (_, n) => fetch(`${origin}/${n}`).then((r) => r.json())));
  many.forEach((one, n) => assert.equal(one.url, `/${n}`));
  // From http to https: the same method, target and body (308).
  for (const [method, content] of [["GET", null], ["POST", "small"]]) {
    const sent = await fetch(`http://localhost:${httpPort}/moved?to=here`, { method, body: content });
    assert.deepEqual([sent.redirected, sent.url], [true, `${origin}/moved?to=here`]);
    assert.deepEqual(await sent.json(), told(method, "/moved?to=here", content));
  }
  const stays = await fetch(`http://localhost:${httpPort}/`, { redirect: "manual" });
  assert.deepEqual([stays.status, stays.headers.get("location")], [308, `${origin}/`]);
}

async function doubting() {
  const isUnknown = ({ code }) => code === "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
  await assert.rejects(get("/", { agent: false }), isUnknown);
  await assert.rejects(fetch(`https://localhost:${httpsPort}/`), ({ cause }) => isUnknown(cause));
  await assert.rejects(fetch(`http://localhost:${httpPort}/`), ({ cause }) => isUnknown(cause));
}

(ca ? believing() : doubting())
  .then(() => console.log("ok"))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
