"""The screens that have a name: what the keymap's `go`, the palette and pictures know them by."""

from collections.abc import Callable
from typing import cast

from textual.screen import Screen

from orchctl.console.screens.audit import AuditScreen
from orchctl.console.screens.catalogue import WorkflowsScreen
from orchctl.console.screens.resources import ResourcesScreen
from orchctl.console.screens.schedules import BackfillsScreen, SchedulesScreen

SCREENS: dict[str, Callable[[], Screen[None]]] = {
    "workflows": cast("Callable[[], Screen[None]]", WorkflowsScreen),
    "schedules": cast("Callable[[], Screen[None]]", SchedulesScreen),
    "backfills": cast("Callable[[], Screen[None]]", BackfillsScreen),
    "audit": cast("Callable[[], Screen[None]]", AuditScreen),
    "resources": ResourcesScreen,
}
