"""Tests of `course score`."""
