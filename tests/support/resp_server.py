"""A TCP server that reads Redis commands and answers them with any bytes, late or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Command = list[bytes]
Answer = Callable[[Command], bytes | float]
"""Returns the bytes of the reply to a command, or the seconds to wait before an empty bulk string is sent."""


async def _read_command(reader: asyncio.StreamReader) -> Command:
    """Read one command: an array of bulk strings (RESP2)."""
    count = int((await reader.readline())[1:])
    parts = []
    for _ in range(count):
        length = int((await reader.readline())[1:])
        parts.append((await reader.readexactly(length + 2))[:-2])
    return parts


@asynccontextmanager
async def resp_server(answer: Answer) -> AsyncIterator[str]:
    """Run the server on loopback; yield its URL. The commands with which a client introduces itself get OK."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while True:
                command = await _read_command(reader)
                if command[0].upper() in (b"CLIENT", b"HELLO", b"AUTH", b"SELECT"):
                    writer.write(b"+OK\r\n")
                    continue
                reply = answer(command)
                if isinstance(reply, float):
                    await asyncio.sleep(reply)
                    reply = b"$0\r\n\r\n"
                writer.write(reply)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"redis://{host}:{port}?protocol=2"
    finally:
        server.close()
