"""The lease in a thing's tags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tasks.core.lease import FOREVER, Lease


def test_a_lease_is_read_back_from_its_tags() -> None:
    lease = Lease(owner="ann", run="r1", expires=datetime(2026, 11, 1, 12, tzinfo=UTC), hourly=3.67)
    assert Lease.read(lease.tags()) == lease
    assert Lease.read(lease.extended(None).tags()) == lease.model_copy(
        update={"expires": FOREVER, "kept": True}
    )


def test_what_has_no_lease_is_not_ours() -> None:
    assert Lease.read(None) is None
    assert Lease.read({"owner": "ann"}) is None
    assert Lease.read({"finetune.owner": "a", "finetune.run": "r", "finetune.expires": "soon"}) is None


def test_a_lease_ends() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    lease = Lease(owner="ann", run="r1", expires=now)
    assert lease.expired(now)
    assert not lease.expired(now - timedelta(seconds=1))
    assert not lease.extended(None).expired(now + timedelta(days=365_000))
