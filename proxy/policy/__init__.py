"""Pure policy: what to do with a request. No I/O, no clock, no globals, no asyncio."""
