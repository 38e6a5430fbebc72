// node's fetch as a client of the two Express apps: usage: node client_fetch.js PORT
"use strict";
const assert = require("node:assert/strict");

async function main(port) {
  const base = `http://127.0.0.1:${port}`;
  for (const name of ["one", "two"]) {
    const told = await (await fetch(`${base}/${name}/deep/path?x=1`)).json();
    assert.deepEqual(told, {
      app: name,
      method: "GET",
      url: "/deep/path?x=1",
      prefix: `/${name}`,
      client: "127.0.0.1",
      body: null,
    });
    const root = await (await fetch(`${base}/${name}`)).json();
    assert.equal(root.url, "/");
    const posted = await fetch(`${base}/${name}/form`, { method: "POST", body: "a=b".repeat(50_000) });
    assert.equal((await posted.json()).body, "a=b".repeat(50_000));
    // A body of unknown length goes out chunked.
    const stream = new ReadableStream({
      start(controller) {
        for (const piece of ["un", "known ", "length"]) controller.enqueue(new TextEncoder().encode(piece));
        controller.close();
      },
    });
    const streamed = await fetch(`${base}/${name}/s`, { method: "PUT", body: stream, duplex: "half" });
    assert.equal((await streamed.json()).body, "unknown length");
  }
  assert.equal((await fetch(`${base}/three`)).status, 404);
  const many = await Promise.all(Array.from({ length: 100 }, (_, n) => fetch(`${base}/one/${n}`).then((r) => r.json())));
  many.forEach((told, n) => assert.equal(told.url, `/${n}`));
  console.log("ok");
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
