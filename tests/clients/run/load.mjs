// Runs the printed load test of the events protocol where there is no k6.
//
//     load.mjs PROGRAM
//
// It says for each check how often it held: `NAME: PASSED out of ALL`.

import { fileURLToPath } from "node:url";
import { runInThisContext } from "node:vm";
import { WebSocket } from "ws";
import { bundle } from "./bundle.mjs";
import { say } from "./commands.mjs";

/** A socket with the methods of k6's; `connect` promises what it returns there. */
function connect(url, _parameters, use) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    let status;
    socket.on("upgrade", (response) => (status = response.statusCode));
    socket.on("unexpected-response", (_request, response) => resolve({ status: response.statusCode }));
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve({ status }));
    use({
      on: (event, handler) => socket.on(event, (data) => handler(data && data.toString())),
      send: (text) => socket.send(text),
      setTimeout,
      close: () => socket.close(),
    });
  });
}

const checks = new Map();
async function check(value, tests) {
  const known = await value;
  for (const [name, holds] of Object.entries(tests)) {
    const count = checks.get(name) ?? { passed: 0, all: 0 };
    checks.set(name, { passed: count.passed + (holds(known) ? 1 : 0), all: count.all + 1 });
  }
}

globalThis.k6 = { ws: { connect }, check };
const standIn = fileURLToPath(new URL("k6.mjs", import.meta.url));
const text = await bundle(process.argv[2], { alias: { "k6/ws": standIn, k6: standIn }, globalName: "program" });
process.on("exit", () => checks.forEach(({ passed, all }, name) => say(`${name}: ${passed} out of ${all}`)));
runInThisContext(`${text};program`).default();
