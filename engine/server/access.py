"""Who may do what, by what the kernel says of the other end of the socket: never by anything that was sent.

The engine's own user and root are admins. With `[access]` in the configuration further users and groups are viewers
(questions only), operators (acts on runs) or admins (the engine itself, and which code it runs). The highest role that
fits counts. Everybody else is refused before a byte is read.
"""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Iterable
from enum import IntEnum

import msgspec

from engine.model.errors import ValueFault

_SO_PEERGROUPS = 59
_BUFFER_BYTES_MAX = 1024
_CREDENTIALS = struct.Struct("iII")


class Role(IntEnum):
    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3

    @property
    def text(self) -> str:
        return self.name.lower()


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection as it was when it connected. `pid` is for people only: it can be stale."""

    uid: int
    gids: frozenset[int]
    pid: int = 0


class Access(msgspec.Struct, frozen=True):
    """User and group ids by role; with none, the socket is for its own user only."""

    own_uid: int
    uids: tuple[tuple[Role, frozenset[int]], ...] = ()
    gids: tuple[tuple[Role, frozenset[int]], ...] = ()

    @property
    def shared(self) -> bool:
        """Whether others than the own user may come in at all."""
        return any(ids for _, ids in (*self.uids, *self.gids))

    def role_of(self, peer: Peer) -> Role | None:
        """The highest role of a peer; None for one that has none."""
        if peer.uid in (self.own_uid, 0):
            return Role.ADMIN
        roles = [role for role, uids in self.uids if peer.uid in uids]
        roles += [role for role, gids in self.gids if peer.gids & gids]
        return max(roles, default=None)


def access_of(roles: dict[str, Iterable[str | int]], own_uid: int) -> Access:
    """The access that `[access]` describes: for viewer, operator and admin a list of user ids or names, and of groups
    written as `@name` or `@gid`. Raises ValueFault for an unknown role, user or group.
    """
    uids: list[tuple[Role, frozenset[int]]] = []
    gids: list[tuple[Role, frozenset[int]]] = []
    for name, members in roles.items():
        role = _role(name)
        listed = list(members)
        groups = [str(member)[1:] for member in listed if str(member).startswith("@")]
        users = [str(member) for member in listed if not str(member).startswith("@")]
        uids.append((role, frozenset(_uid(user) for user in users)))
        gids.append((role, frozenset(_gid(group) for group in groups)))
    return Access(own_uid, tuple(uids), tuple(gids))


def _role(name: str) -> Role:
    for role in Role:
        if role.text == name:
            return role
    raise ValueFault(f"[access] has no role {name!r}", "the roles are viewer, operator and admin")


def _uid(user: str) -> int:
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueFault(f"[access] names user {user!r}, whom this host does not know") from None


def _gid(group: str) -> int:
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueFault(f"[access] names group {group!r}, which this host does not know") from None


def peer_of(sock: socket.socket) -> Peer:
    """What SO_PEERCRED and SO_PEERGROUPS (socket(7), unix(7)) say of a connected socket. Raises OSError."""
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        packed = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _BUFFER_BYTES_MAX)
        others = struct.unpack(f"{len(packed) // 4}I", packed)
    except OSError:  # more groups than Python's buffer holds: what the user database says of the user
        others = _listed_groups(uid, gid)
    return Peer(uid, frozenset((gid, *others)), pid)


def _listed_groups(uid: int, gid: int) -> tuple[int, ...]:
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except (KeyError, OSError):
        return ()


def login_name(uid: int) -> str:
    """The user's name for the audit, or the number where none is known. May block: call it off the loop."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
