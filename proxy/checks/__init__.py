"""What `doctor` looks at: small checks of a configuration and the machine it is to run on.

Each returns plain results and prints nothing. None creates or writes anything, and none sends a request to a
backend.
"""
