import asyncio
import json
import websockets

class StreamingClient:
    def __init__(self, uri, token):
        self.uri = uri
        self.token = token
        self.subscriptions = {}
        
    async def connect(self):
        async with websockets.connect(self.uri) as websocket:
            self.websocket = websocket
            
            # Authenticate
            await self.send({
                'type': 'auth',
                'data': {'token': self.token}
            })
            
            # Handle messages
            async for message in websocket:
                await self.handle_message(json.loads(message))
    
    async def send(self, message):
        await self.websocket.send(json.dumps(message))
    
    async def subscribe(self, sub_type, filters=None):
        await self.send({
            'type': 'subscribe',
            'data': {
                'type': sub_type,
                'filters': filters or {}
            }
        })
    
    async def handle_message(self, message):
        msg_type = message.get('type')
        
        if msg_type == 'auth_success':
            print('Authentication successful')
        elif msg_type == 'data':
            print(f"Received data: {message['data']}")
        elif msg_type == 'error':
            print(f"Error: {message['data']['error']}")

# Usage
async def main():
    client = StreamingClient('ws://localhost:8765', 'your-token')
    await client.connect()

asyncio.run(main())
