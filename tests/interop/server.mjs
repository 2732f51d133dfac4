// A WebSocket server on the Node library `ws`, as a peer of the interoperability tests.
//
//     server.mjs feed COUNT FIRST   sends COUNT messages: FIRST of them to the first client, whom it then sends away with
//                                   close code 1012, the others to the next one, which it pings before
//     server.mjs collect            prints what it receives
//
// It prints `listening PORT` first, then a line for each thing that happens: `message TEXT`, `pong`, `closed CODE`.

import { once } from "node:events";
import { WebSocketServer } from "ws";

const [role, count, first] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const say = (line) => process.stdout.write(`${line}\n`);
const numbered = (number) => JSON.stringify({ n: number, text: `snowman \u2603 number ${number}` });

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

async function feed(socket) {
  if (next > 1) {
    socket.ping();
    await once(socket, "pong");
    say("pong");
  }
  const last = next === 1 ? first : count;
  for (; next <= last; next += 1) send(socket, next);
  if (last < count) socket.close(1012, "restart");
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
server.on("listening", () => say(`listening ${server.address().port}`));
server.on("connection", (socket) => {
  socket.on("close", (code) => say(`closed ${code}`));
  if (role === "collect") socket.on("message", (data) => say(`message ${data}`));
  else feed(socket);
});
