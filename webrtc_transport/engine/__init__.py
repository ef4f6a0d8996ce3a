"""Protocol stacks: the only importers of aiortc, aioice and OpenSSL. They run on the engine's asyncio loop."""
