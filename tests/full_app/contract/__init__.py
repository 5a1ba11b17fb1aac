"""The 90 checks of the wire: `test_NN_...` proves number NN; `test_numbers.py` counts.

Some are proven beside what they are about, in the other files of `tests/full_app`.
"""
