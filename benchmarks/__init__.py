"""Everything that measures, and what it measured (`results/`).

`run` and `peers` are what `course bench` calls: the chapter's claims about speed, and
full_app beside other servers. The rest is run by hand, as each module says:
`python -m benchmarks.full_app_layers`, `keys_flat`, `flame_graph`, `survival`.
"""
