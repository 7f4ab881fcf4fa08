"""Who runs in the background has SIGINT ignored and hands that on to all that tests start; Ctrl-C then means nothing.
So it is taken as from a terminal, however tests are run.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
