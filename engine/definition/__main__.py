"""`python -m engine.definition FILE`: compile a file of either kind, and answer on stdout, for `definition_in`.
The engine has its keeper run this for files in watched folders, so that no definition is ever read in the engine.
"""

import sys

from engine.definition.compile_python import write_faults, write_workflow
from engine.definition.load import encode_file
from engine.model.errors import DefinitionError


def main() -> int:
    """0, or 2 where the file has faults."""
    try:
        answer, code = write_workflow(encode_file(sys.argv[1])), 0
    except DefinitionError as error:
        answer, code = write_faults(error.faults), 2
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
