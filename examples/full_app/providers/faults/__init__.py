"""Failures on demand: models that fail as their name says."""
