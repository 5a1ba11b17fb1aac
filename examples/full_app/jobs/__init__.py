"""Batches of chat requests that run without a connection, and survive a crash."""
