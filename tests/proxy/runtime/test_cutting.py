"""Cutting off does nothing to a server that it does not know; what it does to Hypercorn, the hardening tests
see.
"""

from __future__ import annotations

import asyncio

import pytest

from proxy.gateway.asgi import Cut
from proxy.gateway.pages import Message
from proxy.runtime.cutting import cut_off


@pytest.mark.parametrize("cut", Cut)
def test_another_server_is_left_alone(cut: Cut) -> None:
    class Stranger:
        async def send(self, message: Message) -> None:
            raise AssertionError(message)

    async def send(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(cut_off({"http_version": "2"}, Stranger().send, cut))
    asyncio.run(cut_off({"http_version": "1.0"}, send, cut))
