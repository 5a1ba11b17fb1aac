"""What a caller may use: requests, tokens and calls at a time, and money."""
