"""One end of a conversation in WebSocket frames, by Debian's python3-autobahn.

    websocket-peer.py serve            an echo server on a free port, which it prints
    websocket-peer.py talk PORT TOKEN USER  a client that expects every message back, and to be USER; says "ok"
"""
import asyncio
import hashlib
import os
import sys

from autobahn.asyncio.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1_000_000, 8_000_000]
MESSAGES = [(b"", False), ("čaj ☕ 茶".encode(), False)] + [(os.urandom(size), True) for size in SIZES]
FRAGMENTED = [os.urandom(size) for size in (0, 1, 1000, 70_000, 3)]


class Echo(WebSocketServerProtocol):
    def onMessage(self, payload, isBinary):
        user = self.http_headers.get("x-forwarded-user", "nobody")
        self.sendMessage(user.encode() if payload == b"who am I" else payload, isBinary)


class Talk(WebSocketClientProtocol):
    def onOpen(self):
        self.expected = [payload for payload, _ in MESSAGES] + [b"".join(FRAGMENTED), sys.argv[4].encode()]
        for payload, is_binary in MESSAGES:
            self.sendMessage(payload, is_binary, fragmentSize=None if len(payload) < 1_000_000 else 9_999)
        self.beginMessage(isBinary=True)
        for piece in FRAGMENTED:
            self.sendMessageFrame(piece)
        self.endMessage()
        self.sendMessage(b"who am I")

    def onMessage(self, payload, isBinary):
        expected = self.expected.pop(0)
        if hashlib.sha256(payload).digest() != hashlib.sha256(expected).digest():
            print("differs:", len(payload), "of", len(expected), "bytes", payload[:40])
            self.sendClose(3001)
        elif not self.expected:
            self.sendClose(1000)

    def onClose(self, wasClean, code, reason):
        print("ok" if wasClean and code == 1000 else f"closed: {wasClean} {code} {reason}")
        asyncio.get_running_loop().stop()


async def serve():
    factory = WebSocketServerFactory()
    factory.protocol = Echo
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def talk(port, token):
    headers = {"X-Amzn-Oidc-Data": token}
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}/echo", headers=headers)
    factory.protocol = Talk
    await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", int(port))


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(talk(sys.argv[2], sys.argv[3]))
    loop.run_forever()
