"""Masking: what must not reach the journal is replaced here, before an event is built.

`names` masks by name: headers and query parameters that hold credentials. `mask` masks by value, in every
spelling that `spellings` knows; `secrets` says whose values those are. `text` writes the headers, texts and
bodies of a request as a row has them: the rest of the program calls it. `source` is the recorder's mask.
"""
