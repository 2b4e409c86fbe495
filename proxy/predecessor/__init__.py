"""M-FastGate, the predecessor: reading its database, and making our rows of its rows.

Conversion is pure, a file for each kind of row: an old row in, a new one out, with notes of what was changed
and why. Only `reading.py` opens the old file, and never to write; only `importing.py` writes, into ours.
"""
