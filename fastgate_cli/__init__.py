"""The `fastgate` command: parse the arguments, make one call into `proxy`, print what came back."""
