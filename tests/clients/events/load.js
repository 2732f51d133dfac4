// WebSocket load test with k6
import ws from 'k6/ws';
import { check } from 'k6';

export default function() {
  const url = 'ws://localhost:8010/api/v1/ws?token=test_token';
  
  const res = ws.connect(url, {}, function(socket) {
    socket.on('open', () => {
      socket.send(JSON.stringify({
        type: 'subscribe',
        events: ['blob.*']
      }));
    });
    
    socket.on('message', (data) => {
      const message = JSON.parse(data);
      check(message, {
        'message has type': (m) => m.type !== undefined,
        'message has data': (m) => m.data !== undefined,
      });
    });
    
    socket.setTimeout(() => {
      socket.close();
    }, 10000);
  });
  
  check(res, { 'status is 101': (r) => r && r.status === 101 });
}
