"""Events kept in a Redis Stream: written once, read from any id on."""
