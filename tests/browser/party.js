// Runs a headless Chromium and does in it what standard input says.
//
// Each line is [NAME, ARGUMENTS…]: a function of page.js, or `open`, which takes a fresh page. Each answer is a line with
// {"result": …} or {"error": …}. The browser ends with the input.
//
//     node party.js [FLAG OF CHROMIUM…]

import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { chromium } from "playwright-core";

// No request leaves the browser: the page comes from here, and from an origin that may use camera and microphone.
const ORIGIN = "https://page.example/";
const HTML = "<!doctype html><title>party</title><video autoplay></video>";
const SCRIPT = fileURLToPath(new URL("page.js", import.meta.url));
// Milliseconds, far more than anything takes.
const PATIENCE = 60_000;

const FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    // What is not played is not decoded.
    "--autoplay-policy=no-user-gesture-required",
];

// A fresh profile, gone at the end.
const browser = await chromium.launchPersistentContext("", {
    executablePath: "/usr/bin/chromium",
    ignoreDefaultArgs: ["--mute-audio"],
    args: [...FLAGS, ...process.argv.slice(2)],
});
await browser.route("**/*", (route) => route.fulfill({ contentType: "text/html", body: HTML }));
let page;

async function open() {
    await page?.close();
    page = await browser.newPage();
    await page.goto(ORIGIN);
    await page.addScriptTag({ path: SCRIPT });
}

async function obey([name, ...args]) {
    if (name === "open") return open();
    const called = page.evaluate(([name, args]) => window[name](...args), [name, args]);
    const expired = new AbortController();
    const timeout = setTimeout(PATIENCE, undefined, expired).then(() => {
        throw new Error(`nothing after ${PATIENCE / 1000} s`);
    });
    return Promise.race([called, timeout]).finally(() => expired.abort());
}

try {
    for await (const line of createInterface({ input: process.stdin })) {
        const answer = await obey(JSON.parse(line)).then(
            (result) => ({ result: result ?? null }),
            (error) => ({ error: error.message }),
        );
        console.log(JSON.stringify(answer));
    }
} finally {
    await browser.close();
}
