// A WebSocket client on the Node library `ws`, as a peer of the interoperability tests. It offers compression, and
// compresses all it sends when the server accepts.
//
//     client.mjs send URL COUNT      sends COUNT messages and closes
//     client.mjs collect URL COUNT   prints what it receives
//
// It prints a line for each thing that happens: `extensions TEXT` (what the server chose, or `none`), `connected`,
// `message TEXT`, `closed CODE`.

import { WebSocket } from "ws";
import { numbered } from "./messages.mjs";

const [role, url, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const say = (line) => process.stdout.write(`${line}\n`);

// Without a timeout of its own: a server that does not end the connection after the goodbyes is to be noticed.
const socket = new WebSocket(url, { perMessageDeflate: { threshold: 0 }, closeTimeout: 3_600_000 });
socket.on("upgrade", (response) => say(`extensions ${response.headers["sec-websocket-extensions"] ?? "none"}`));
socket.on("open", () => {
  say("connected");
  if (role !== "send") return;
  for (let number = 1; number <= count; number += 1) {
    const text = numbered(number);
    // Every third message goes out in two fragments.
    if (number % 3 === 0) {
      socket.send(text.slice(0, 7), { fin: false });
      socket.send(text.slice(7));
    } else {
      socket.send(text);
    }
  }
  socket.close(1000);
});
if (role === "collect") socket.on("message", (data) => say(`message ${data}`));
socket.on("close", (code) => say(`closed ${code}`));
