"""What can go wrong with the state on the disk, each with what to do about it."""

from engine.model.errors import EngineError, Unavailable
from engine.store.tables import Table, key_text

RESTORE_HINT = "`orchctl restore FOLDER` puts a backup in its place and keeps the damaged state aside"


class StoreDamage(EngineError):
    """A record is not what was written. `table` and `key` name it; key is empty where a whole file or tree is meant."""

    code = "store_damage"
    exit_code = 3

    def __init__(self, what: str, table: Table | None = None, key: bytes = b"") -> None:
        place = "" if table is None else f"record {key_text(table, key)} of table {table.title}: "
        super().__init__(place + what, RESTORE_HINT)
        self.table = table
        self.key = key


class StoreRefused(EngineError):
    """The state cannot be opened by this engine, and was left as it is."""

    code = "store_refused"
    exit_code = 3


class StoreLocked(StoreRefused):
    """Another engine works on this state. `pid` is 0 when it is not known."""

    code = "store_locked"

    def __init__(self, folder: str, pid: int) -> None:
        holder = f"by process {pid}" if pid else "by another process"
        super().__init__(f"the state in {folder} is in use {holder}", "stop that engine first: `orchctl engine stop`")
        self.pid = pid


class StoreFull(Unavailable):
    """There is no room for the batch. Nothing of it was written; the same batch may be tried again."""

    code = "store_full"


class CommitFailed(EngineError):
    """Whether the batch is on the disk is unknown. Nothing may be answered or performed: the engine has to exit."""

    code = "commit_failed"
    exit_code = 3
