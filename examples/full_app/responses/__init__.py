"""`/v1/responses`: items in, items out, on the same floor as chat completions."""
