"""HTTP/1.1 towards clients (RFC 9112): connections on httptools that call a `Handler`, one request at a time.

Our own, because a gateway has to bound heads, bodies, connections and silent clients, refuse what could be
smuggled, record what it refused, and cost little; no server library does all of these. It knows no ASGI.
"""
