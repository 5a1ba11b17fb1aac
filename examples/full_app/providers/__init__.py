"""Where answers come from: the protocol of a provider, and those that follow it."""
