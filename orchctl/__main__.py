"""The command `orchctl`: finds the verb, imports its one module, and turns whatever goes wrong into a
sentence and an exit code. A traceback is never shown, except with ORCHCTL_DEBUG=1, to whoever looks for a
fault in orchctl itself.
"""

import os
import sys


def main() -> int:
    """The entry point. Returns the exit code."""
    if sys.platform != "linux":
        sys.stderr.write("orchctl runs on Linux only\n")
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036  from a clone, any Python may be asked to run this
        sys.stderr.write("orchctl needs Python 3.11 or newer\n")
        return 2
    _complete_streams()
    from orchctl.commands.dispatch import guarded

    return guarded(sys.argv[1:])


def _complete_streams() -> None:
    """A standard stream that was closed leads nowhere; else the next file of ours would get its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
