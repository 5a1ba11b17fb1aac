"""The course command line."""
