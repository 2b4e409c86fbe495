"""Keys and routes as one document: written, read with the place of every fault, compared with a database."""
