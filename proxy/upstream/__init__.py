"""The backend's side: names, connections and their pool, which backend is asked, and when it is asked again.

HTTP/1.1 is read by httptools and HTTP/2 by h2, over TCP and TLS, also through an egress proxy. An exchange
meets one `Sending`, which tells it of the answer as it comes.
"""
