// A peer in Node that knows nothing but the printed envelopes: asks for the status, takes events, answers what it is asked.
//
//     peer.mjs client URL   connects to a pipeline of ours
//     peer.mjs server       listens, and says where: sources and sinks of ours connect to it
//
// It ends with `done` and code 0, or with what was wrong.

import assert from "node:assert/strict";
import { WebSocket, WebSocketServer } from "ws";

const SOME = 20;

const envelope = (type, id, payload) => JSON.stringify({ type, id, timestamp: 1704844800000, payload });

/** Talks to the other end until everything has been said. */
function converse(socket) {
  let events = 0;
  let replied = false;
  let answered = false;
  socket.on("error", fail);
  socket.on("close", (code) => fail(new Error(`closed with ${code}`)));
  socket.on("message", (data, isBinary) => {
    assert.equal(isBinary, false);
    const message = JSON.parse(data);
    assert.deepEqual(Object.keys(message), ["type", "id", "timestamp", "payload"]);
    assert.ok(Number.isInteger(message.timestamp) && typeof message.id === "string");
    if (message.type === "data") {
      assert.deepEqual(Object.keys(message.payload), ["sensor_id", "type", "region", "severity", "value", "unit"]);
      events += 1;
    } else if (message.type === "request") {
      assert.deepEqual(message.payload, { method: "inventory", params: { verbose: true } });
      socket.send(envelope("reply", message.id, { status: "ok", result: { sensors: 9 } }));
      answered = true;
    } else {
      assert.deepEqual([message.type, message.id, message.payload.status], ["reply", "req-001", "ok"]);
      assert.deepEqual(Object.keys(message.payload.result), ["throughput", "queue_depth", "uptime_seconds"]);
      replied = true;
    }
    if (events >= SOME && replied && answered) {
      console.log("done");
      process.exit();
    }
  });
  socket.send(envelope("data", "data-001", { sensor_id: "temp-01", value: 23.5, unit: "celsius" }));
  socket.send("no envelope");
  socket.send(envelope("data", "data-002", { sensor_id: "temp-01", value: 24.5, unit: "celsius" }));
  socket.send(envelope("request", "req-001", { method: "status", params: {} }));
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

process.on("uncaughtException", fail);
const [role, url] = process.argv.slice(2);
if (role === "client") {
  const socket = new WebSocket(url);
  socket.on("error", fail);
  socket.on("open", () => converse(socket));
} else {
  // Of what is offered it chooses nothing: it knows none of it.
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => false });
  server.on("connection", converse);
  server.on("listening", () => console.log("listening at", server.address().port));
}
