"""What a person at a terminal asks about a gateway and its routes: never part of serving a request."""
