"""Where answers come from: the protocol and its providers."""
