"""One chat call: admitted, read as typed events, accounted for, written as chunks."""
