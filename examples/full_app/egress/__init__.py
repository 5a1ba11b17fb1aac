"""Requests that leave this service for addresses that a caller chose."""
