// A WebSocket client on the Node library `ws`, as a peer of the interoperability tests.
//
//     client.mjs send URL COUNT   sends COUNT messages and closes
//     client.mjs collect URL      prints what it receives
//
// It prints a line for each thing that happens: `connected`, `message TEXT`, `closed CODE`.

import { WebSocket } from "ws";

const [role, url, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const say = (line) => process.stdout.write(`${line}\n`);

const socket = new WebSocket(url);
socket.on("open", () => {
  say("connected");
  if (role !== "send") return;
  for (let number = 1; number <= count; number += 1) {
    const text = JSON.stringify({ n: number, text: `snowman \u2603 number ${number}` });
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
