"""`course bench --peers`: full_app beside its peers and its limit, in one run.

Every contestant answers the same body on this machine, one worker each; rounds are
interleaved and medians kept. The peers are installed into throw-away environments.

bodies: what is asked, and what must be answered.
homes: the throw-away environments of the peers.
contestants: who takes part, and how each is started.
processes: a tree of processes: its CPU, its memory, its end.
streams: a client for what wrk cannot do: first tokens, a constant rate, open streams.
inside, workers, jobs: what no peer has: jobs, resuming, the limiter.
cells: the loads. targets: what is to be reached. report: JSON, Markdown, tables.
"""
