"""Runnable examples of the course: one module a section, and full_app."""
