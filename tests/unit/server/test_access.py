"""Who gets which role."""

import os
import socket

import pytest

from engine.model.errors import ValueFault
from engine.server.access import Access, Peer, Role, access_of, login_name, peer_of


def peer(uid: int, *gids: int) -> Peer:
    return Peer(uid, frozenset(gids))


def test_the_own_user_and_root_are_admins_and_nobody_else_comes_in_by_default() -> None:
    access = Access(own_uid=1000)
    assert access.role_of(peer(1000, 1000)) is Role.ADMIN
    assert access.role_of(peer(0, 0)) is Role.ADMIN
    assert access.role_of(peer(1001, 1000)) is None
    assert not access.shared


def test_the_highest_role_that_fits_counts() -> None:
    access = access_of({"viewer": [5, "@50"], "operator": [6, 5], "admin": ["@70"]}, own_uid=1)
    assert access.shared
    assert access.role_of(peer(5)) is Role.OPERATOR
    assert access.role_of(peer(6)) is Role.OPERATOR
    assert access.role_of(peer(9, 50)) is Role.VIEWER
    assert access.role_of(peer(9, 50, 70)) is Role.ADMIN
    assert access.role_of(peer(9, 5, 6)) is None


def test_names_are_looked_up_and_unknown_ones_refused() -> None:
    access = access_of({"viewer": ["root", "@root"]}, own_uid=77)
    assert access.role_of(peer(88, 0)) is Role.VIEWER
    for wrong in ({"boss": [1]}, {"viewer": ["no-such-user-here"]}, {"viewer": ["@no-such-group-here"]}):
        with pytest.raises(ValueFault):
            access_of(wrong, own_uid=1)  # pyright: ignore[reportArgumentType]


def test_an_empty_table_shares_nothing() -> None:
    assert not access_of({}, own_uid=1).shared
    assert not access_of({"viewer": []}, own_uid=1).shared


def test_the_kernel_says_who_is_at_the_other_end() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        found = peer_of(ours)
    assert (found.uid, found.pid) == (os.getuid(), os.getpid())
    assert found.gids >= {os.getgid(), *os.getgroups()}


def test_a_user_without_a_name_is_called_by_the_number() -> None:
    assert login_name(0) == "root"
    assert login_name(3_999_999_999) == "3999999999"
