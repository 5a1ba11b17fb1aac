"""One service in several frameworks: `/json` answers at once, `/model` after one model
call of 200 ms, `/fanout` after ten of them as concurrently as the framework can.
"""

MODEL_SECONDS = 0.2
CALLS = 10
ANSWER = {"message": "Hello, World!", "tokens": [1, 2, 3], "cached": False}
