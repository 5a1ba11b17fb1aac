"""Events that are sent to addresses of the caller, signed."""
