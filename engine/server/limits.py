"""How much of the engine one client, one user and all clients together may hold. Tests make these small; the engine
uses them as they are.
"""

import msgspec

from engine.protocol.messages import FRAME_BYTES_MAX, UPLOAD_BYTES_MAX


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds, sizes bytes, the rest counts."""

    connections: int = 1024
    connections_per_uid: int = 256
    hello_s: float = 10.0
    """From the connection to the first complete frame."""
    frame_s: float = 5.0
    """From a frame's first byte to its last."""
    stall_s: float = 10.0
    """Without one byte taken by a client that has something to read."""
    in_flight: int = 64
    """Requests of a session that are not answered; further ones are not read."""
    frame_bytes: int = FRAME_BYTES_MAX
    out_bytes: int = 4 * 2**20
    """Waiting to be read by one client."""
    out_bytes_total: int = 128 * 2**20
    backlog_bytes: int = 256 * 2**10
    """With more than this unread, no answer is prepared and no subscription is fed."""
    upload_bytes: int = UPLOAD_BYTES_MAX
    """Of one session, in all of its uploads."""
    upload_bytes_total: int = 256 * 2**20
    upload_s: float = 120.0
    """An upload that got nothing for so long is forgotten."""
    subscriptions_per_session: int = 64
    subscriptions: int = 4096
    duty: float = 0.25
    """The most that keeping subscriptions current may take of a core; beyond it they come less often."""
    accept_pause_s: float = 0.2
    """After an accept that found no descriptor or memory."""
    drain_s: float = 1.0
    """For the last answers to be read when the server ends."""
