"""Between a client and a backend: what becomes of each request, from its head to the end of its answer.

`Gateway` makes an `Exchange` of each request; everything that happens to it is an event of that.
"""
