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
    from orchctl.commands.dispatch import guarded

    code = guarded(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has left: as a program that SIGPIPE ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


if __name__ == "__main__":
    sys.exit(main())
