"""`course score URL`: how much of OpenAI's wire a server holds, judged from outside.

A check is one small function in `groups/`: it asks the server something and says what
it expects. `check.py` makes a check of a function, `server.py` carries what it asks,
`run.py` runs all of them within bounds of time, `report.py` and `badge.py` show what
came out.
"""
