const ws = new WebSocket('ws://localhost:8765');
ws.onopen = function() {
    ws.send(JSON.stringify({
        type: 'auth',
        data: {
            token: 'your-auth-token'
        }
    }));
};
