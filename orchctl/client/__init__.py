"""The blocking client of the command line: one socket, one question at a time, and subscriptions to follow a run.

`connection` speaks the wire over one socket; `session` adds what a verb wants: reconnecting, repeating what
is safe to repeat, pages, uploads; `starting` starts an engine where none runs.
"""
