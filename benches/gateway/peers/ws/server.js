// The fan-out server on Node ws: what comes in on /in is sent to all who are connected to /out.
// Usage: node server.js PORT
'use strict';
const http = require('http');
const { WebSocket, WebSocketServer } = require('ws');

const options = { noServer: true, perMessageDeflate: false };
const publishers = new WebSocketServer(options);
const subscribers = new WebSocketServer(options);

publishers.on('connection', (publisher) => {
  publisher.on('message', (data, isBinary) => {
    for (const subscriber of subscribers.clients) {
      if (subscriber.readyState === WebSocket.OPEN) {
        subscriber.send(data, { binary: isBinary });
      }
    }
  });
  publisher.on('error', () => {});
});
subscribers.on('connection', (subscriber) => subscriber.on('error', () => {}));

const server = http.createServer();
server.on('upgrade', (request, socket, head) => {
  const side = request.url === '/in' ? publishers : subscribers;
  side.handleUpgrade(request, socket, head, (client) => side.emit('connection', client, request));
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
