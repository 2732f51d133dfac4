// A WebSocket server on the Node library `ws`, as a peer of the interoperability tests. It accepts compression, and
// compresses all it sends when the client offers it.
//
//     server.mjs feed COUNT FIRST   sends COUNT messages: FIRST of them to the first client, whom it then sends away with
//                                   close code 1012, the others to the next one, which it pings before
//     server.mjs collect            prints what it receives
//
// It prints `listening PORT` first, then a line for each thing that happens: `extensions TEXT` (what it chose for a
// client, or `none`), `message TEXT`, `pong`, `closed CODE`.

import { once } from "node:events";
import { WebSocketServer } from "ws";
import { numbered } from "./messages.mjs";

const [role, count, first] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const say = (line) => process.stdout.write(`${line}\n`);

function send(socket, number) {
  const text = numbered(number);
  // Every third message goes out in two fragments.
  if (number % 3 === 0) {
    socket.send(text.slice(0, 7), { fin: false });
    socket.send(text.slice(7));
  } else {
    socket.send(text);
  }
}

let next = 1;

async function feed(socket, extensions) {
  const closed = once(socket, "close");
  say(`extensions ${extensions}`);
  if (next > 1) {
    socket.ping();
    await once(socket, "pong");
    say("pong");
  }
  const last = next === 1 ? first : count;
  for (; next <= last; next += 1) send(socket, next);
  if (last < count) socket.close(1012, "restart");
  const [code] = await closed;
  say(`closed ${code}`);
}

function collect(socket, extensions) {
  say(`extensions ${extensions}`);
  socket.on("message", (data) => say(`message ${data}`));
  socket.on("close", (code) => say(`closed ${code}`));
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: { threshold: 0 } });
server.on("listening", () => say(`listening ${server.address().port}`));

const chosen = new WeakMap();
server.on("headers", (headers, request) => {
  const line = headers.find((header) => header.startsWith("Sec-WebSocket-Extensions: "));
  chosen.set(request, line?.slice(line.indexOf(" ") + 1) ?? "none");
});

// A feed serves one client after the other, so that what it says of them does not mix.
let turn = Promise.resolve();
server.on("connection", (socket, request) => {
  if (role === "collect") collect(socket, chosen.get(request));
  else turn = turn.then(() => feed(socket, chosen.get(request)));
});
