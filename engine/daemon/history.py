"""The store's queries as the server wants them: `server.ports.History`."""

from collections.abc import Collection, Sequence

from engine.core.state import Attempt, RunHeader, RunState
from engine.model.status import RunStatus
from engine.model.workflow import Workflow
from engine.planning.plan import Plan
from engine.server.ports import AuditLine, JournalPage
from engine.store.environment import Environment
