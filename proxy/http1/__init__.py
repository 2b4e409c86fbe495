"""HTTP/1.1 towards clients (RFC 9112): connections on httptools that call an ASGI application.

Hypercorn runs the application's life; its own connections are not used, because they accept framing that an
intermediary has to refuse, know no time-out for what they send, and cost more than all else a request needs.
"""
