"""The promoted revision is kept apart from the primary, and a lost primary comes back from it.

The reasons are told in docs/design/0005-the-kept-revision.md. A primary is made from what was promoted or, in the first
bootstrap, from what serves users already; never from a template that waits for its analysis.
"""

from __future__ import annotations

from flaggerpy.api.status import Phase, Revision, Step
from flaggerpy.rollout import children, revision, rollback
from flaggerpy.rollout.decision import DropCopies, KeepRevision, RestorePrimary, SetRoutes
from flaggerpy.rollout.turn import Turn


def complete_record(turn: Turn) -> None:
    """Bring the record of an unchanged template up to date, where its controller gives templates no number.

    It has not done so yet, or never will: a DaemonSet counts being sent to sleep as well.
    """
    applied = turn.status.rollout.applied
    if applied is not None and applied.controller_revision is None and applied.template == turn.target.template:
        turn.note(applied=turn.current_revision())


def keep(turn: Turn, promoted: Revision, *, of_primary: bool = False) -> None:
    """Keep a revision, unless it is kept already: the target's template, or the one that the primary runs."""
    if turn.seen.kept.usable and not revision.alike(turn.seen.kept.revision, promoted):
        turn.do(KeepRevision(dict(promoted.configs), of_primary=of_primary))


def mend(turn: Turn) -> None:
    """Keep what Flagger or an earlier version promoted, or what somebody deleted, as long as the primary runs it."""
    primary, promoted, kept = turn.seen.primary, turn.status.rollout.promoted, turn.seen.kept
    if primary is None or promoted is None or not kept.usable:
        return
    if kept.revision is not None and kept.revision.template in {promoted.template, primary.template}:
        return
    of_primary = primary.template == promoted.template
    if not of_primary and not revision.same(promoted, turn.seen, turn.target):
        return  # somebody edited the primary by hand: it runs what nobody analysed
    if children.may_mend(turn, "what is kept of the promoted revision"):
        turn.do(KeepRevision(dict(promoted.configs), of_primary=of_primary))


def prune(turn: Turn) -> None:
    """Let go of copies of configs that only the primary's revision before read."""
    promoted, before = turn.status.rollout.promoted, turn.seen.kept.before
    if promoted is not None and before is not None and (unread := before.configs.keys() - promoted.configs.keys()):
        turn.do(DropCopies(tuple(sorted(unread))))


# A lost primary


def interrupt(turn: Turn) -> None:
    """The primary was lost in mid-analysis: the revision waits until it is back, and is analysed from the start.

    Until then the canary serves everybody, if it can: no one else is there.
    """
    if not _at_hand(turn):
        rollback.decide(turn, f"{turn.primary_name} was deleted during the analysis")
        return
    stay = turn.status.rollout.serving_canary or turn.only_canary_serves()
    turn.set(phase=Phase.WAITING, failed_checks=0, iterations=0)
    turn.note(gates=[], checks=[])
    _send_users(turn, stay=stay)
    turn.warn(f"{turn.primary_name} is gone: the analysis of {turn.target_name} starts again once it is back")
    turn.wake_now()


def bring_back(turn: Turn) -> None:
    """Make a lost primary again from what was promoted, and let the canary serve meanwhile if only it can."""
    if turn.only_canary_serves() and turn.seen.route.routes != turn.routes_at(100):
        _send_users(turn, stay=True)
    if not _at_hand(turn):
        turn.stall(_advice(turn), "PrimaryMissing")
        return
    promoted, kept = turn.status.rollout.promoted, turn.seen.kept.revision
    asked_for = revision.same(promoted, turn.seen, turn.target)
    if _is_kept(turn) and (not asked_for or revision.alike(kept, promoted)):
        _restore(turn)
        source = f"ControllerRevision {turn.seen.kept.name}"
    else:
        children.clone_target(turn)
        source = turn.target_name
    if asked_for:
        now, applied = turn.current_revision(), turn.status.rollout.applied
        # A revision that failed and was withdrawn meanwhile stays on record until the primary is back.
        turn.note(promoted=now, applied=now if revision.same(applied, turn.seen, turn.target) else applied)
    turn.warn(f"{turn.primary_name} is gone: created again from {source}")


def _send_users(turn: Turn, *, stay: bool) -> None:
    weight = 100 if stay else 0
    turn.end_cookie()
    if turn.seen.routed and turn.seen.route.routes != turn.routes_at(weight):
        turn.do(SetRoutes(turn.routes_at(weight)))
    turn.begin_step(weight)
    turn.note(serving_canary=stay)
    turn.moved()


def _at_hand(turn: Turn) -> bool:
    return _is_kept(turn) or revision.same(turn.status.rollout.promoted, turn.seen, turn.target)


def _is_kept(turn: Turn) -> bool:
    return turn.seen.kept.revision is not None and not turn.seen.kept.lacking


def _restore(turn: Turn) -> None:
    """Make the primary from what is kept, and record what it runs then."""
    kept = turn.seen.kept.revision
    turn.do(RestorePrimary())
    if not revision.alike(turn.status.rollout.promoted, kept):
        turn.note(promoted=kept)
    if turn.status.rollout.applied is None:
        turn.note(applied=kept)
    turn.wait(f"waiting for {turn.primary_name} to become ready")


def _advice(turn: Turn) -> str:
    if turn.seen.kept.lacking:
        what = ", ".join(turn.seen.kept.lacking)
        return (
            f"{turn.primary_name} is gone and so is its copy of {what}, which has another content than the promoted "
            "one: put the promoted content back, or delete the Canary to serve from the target"
        )
    return (
        f"{turn.primary_name} was deleted while {turn.target_name} asks for a revision that was never promoted: "
        f"put the promoted template back into {turn.target_name}, or delete the Canary to serve from the target"
    )


# A cluster that was built again


def precedes(turn: Turn) -> bool:
    """Whether a bootstrap begins with what is kept: the target asks for something else, which nobody analysed."""
    kept = turn.seen.kept.revision
    return kept is not None and not revision.same(kept, turn.seen, turn.target)


def is_in_place(turn: Turn) -> bool:
    """Whether the primary of a bootstrap runs what is kept; if not, it is made so."""
    kept, primary, applied = turn.seen.kept.revision, turn.seen.primary, turn.status.rollout.applied
    if primary is not None and revision.alike(applied, kept):
        return True
    if turn.seen.kept.lacking:
        turn.stall(_advice(turn), "PrimaryMissing")
        return False
    turn.do(RestorePrimary())
    turn.note(applied=kept, step=Step(started_at=turn.now))
    turn.warn(
        f"{turn.target_name} asks for another revision than was promoted before: {turn.primary_name} begins with that "
        f"one, and the other is analysed after it; {way_out(turn)}"
    )
    turn.wait(f"waiting for {turn.primary_name} to become ready")
    return False


def way_out(turn: Turn) -> str:
    """Say how a bootstrap begins with the target after all; empty where it does."""
    if not precedes(turn):
        return ""
    return f"to begin with {turn.target_name} instead, delete ControllerRevision {turn.seen.kept.name}"
