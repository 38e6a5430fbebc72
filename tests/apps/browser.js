// Loads the page of page_app.js in a headless Chromium and prints what it shows, as JSON; or why it was not let there.
// Whom it believes stands in the NSS database of its HOME.
// usage: node browser.js CHROMIUM URL
"use strict";
const { chromium } = require("playwright-core");

const [executablePath, url] = process.argv.slice(2);
const WAIT_MS = 15_000;

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox", // as root, and in containers
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-proxy-server",
    ],
  });
  try {
    const page = await browser.newPage();
    const failures = [];
    page.on("requestfailed", (request) => failures.push(`${request.url()}: ${request.failure()?.errorText}`));
    page.on("pageerror", (error) => failures.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") failures.push(message.text());
    });
    let response;
    try {
      response = await page.goto(url, { waitUntil: "load", timeout: WAIT_MS });
    } catch (error) {
      const refused = /net::ERR_\w+/.exec(String(error));
      if (!refused) throw error;
      console.log(JSON.stringify({ refused: refused[0] }));
      return;
    }
    const isDone = () => document.getElementById("messages").textContent !== "none";
    await page.waitForFunction(isDone, undefined, { timeout: WAIT_MS });
    const shown = await page.evaluate(() => ({
      images: document.getElementById("images").textContent,
      messages: document.getElementById("messages").textContent,
      colour: getComputedStyle(document.getElementById("heading")).color,
      protocol: performance.getEntriesByType("navigation")[0].nextHopProtocol,
      resources: performance.getEntriesByType("resource").length,
    }));
    const before = response.request().redirectedFrom();
    const redirect = before && (await before.response()).status();
    const tls = (await response.securityDetails())?.protocol ?? null;
    console.log(JSON.stringify({ status: response.status(), url: page.url(), redirect, tls, failures, ...shown }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
