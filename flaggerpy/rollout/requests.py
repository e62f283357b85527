"""What a person asks of a rollout: pause, resume, promote, abort, retry.

A request is answered once, in the status write that records it. Nothing is written to the cluster in that tick: what
was asked for stands in the status, and the rooms of the phases act on it from the next tick on. So a crash can neither
lose a request nor carry it out twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from flaggerpy.api.constants import REQUEST
from flaggerpy.api.errors import InvalidObject
from flaggerpy.api.request import Request, Verb, fingerprint, read_request
from flaggerpy.api.status import Advance, AnsweredRequest, Pause, Phase
from flaggerpy.rollout import release, revision, rollback, start, telling, undo, verdicts
from flaggerpy.rollout.transition import ANALYSIS, BOOTSTRAP, IDLE
from flaggerpy.rollout.turn import Turn


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes of a request.

    Attributes:
        text: one sentence for the person who asked.
        accepted: whether it is done.
        last_word: nothing else is decided in this tick.

    """

    text: str
    accepted: bool = True
    last_word: bool = False


def answer(turn: Turn) -> bool:
    """Answer a new request; True when nothing else is to be decided in this tick."""
    text = turn.canary.metadata.annotations.get(REQUEST, "")
    if not text or (turn.status.phase is Phase.NEW and turn.canary.is_deleting):
        return False
    last = turn.before.rollout.request
    try:
        request = read_request(text)
    except InvalidObject as fault:
        unreadable = AnsweredRequest(id=fingerprint(text))
        if last is None or last.id != unreadable.id:
            _record(turn, unreadable, _no(str(fault)))
        return False
    if last is not None and last.id == request.id:
        return False
    asked = AnsweredRequest(id=request.id, verb=request.verb.value, by=request.by, at=request.at)
    given = _answer(turn, request)
    _record(turn, asked, given)
    return given.last_word


def _record(turn: Turn, asked: AnsweredRequest, given: Answer) -> None:
    """Put the answer into the status, and tell it as an event that a crash cannot lose."""
    turn.note(
        request=asked.model_copy(
            update={"answered_at": turn.now, "accepted": given.accepted, "answer": given.text},
        )
    )
    who = f"{asked.verb} by {asked.by}" if asked.verb else "request"
    turn.announce(
        f"request-{asked.id}",
        kind="event",
        severity="info" if given.accepted else "warn",
        message=f"{who}: {given.text}" if given.accepted else f"{who} refused: {given.text}",
    )
    turn.wake_now()
    if given.last_word:
        turn.wait(turn.status.rollout.failing or turn.before.rollout.reason)
        if not rollback.possible(turn):
            turn.stall(" ".join(turn.seen.problems))


def _answer(turn: Turn, request: Request) -> Answer:
    if release.wanted(turn):
        return _no(f"{turn.name} is being released")
    return _ANSWERS[request.verb](turn, request)


def _no(why: str) -> Answer:
    return Answer(why, accepted=False)


def _pause(turn: Turn, request: Request) -> Answer:
    held = turn.status.rollout.paused
    if held is not None and not held.reason:
        return Answer(f"{turn.name} has been paused by {held.by} already")
    turn.note(paused=Pause(by=request.by, at=request.at or turn.now), advance=None)
    telling.pause(turn, request.by)
    match turn.status.phase:
        case Phase.PROGRESSING | Phase.WAITING_PROMOTION:
            held_at = f"at {turn.status.rollout.step.weight}%: checks go on, and a bad canary is still rolled back"
        case Phase.PROMOTING:
            held_at = "in its promotion: users stay where they are"
        case phase if phase in BOOTSTRAP:
            held_at = f"before users move from {turn.target_name} to {turn.primary_name}"
        case _:
            held_at = "between rollouts: a new revision waits until it is resumed"
    return Answer(f"{turn.name} is paused {held_at}")


def _resume(turn: Turn, _request: Request) -> Answer:
    if turn.status.rollout.paused is not None:
        verdicts.count_anew(turn)
        turn.note(paused=None)
        return Answer(f"{turn.name} goes on")
    if turn.canary.spec.suspend:
        return _no(f"{turn.name} is suspended by spec.suspend: set that to false where the Canary is kept")
    return _no(f"{turn.name} is not paused")


def _promote(turn: Turn, request: Request) -> Answer:
    return _unable(turn) or _no_step(turn) or _another_revision(turn, request) or _go_on(turn, "step")


def _promote_full(turn: Turn, request: Request) -> Answer:
    return _unable(turn) or _no_step(turn) or _another_revision(turn, request) or _go_on(turn, "full")


def _another_revision(turn: Turn, request: Request) -> Answer | None:
    """Refuse to go on with a revision that came after the request: whoever asked has not seen it.

    Identities of two versions of the program cannot be compared.
    """
    seen, asked_for = request.template or "", turn.target.template
    if not seen or seen == asked_for or seen.rpartition("-")[0] != asked_for.rpartition("-")[0]:
        return None
    return _no(f"{turn.target_name} asks for another revision than when this was asked: look at it and ask again")


def _go_on(turn: Turn, mode: Literal["step", "full"]) -> Answer:
    turn.note(advance=Advance(mode=mode, revision=turn.current_revision()))
    if mode == "full":
        turn.note(paused=None)
        return Answer(f"{turn.name} is promoted without further checks", last_word=True)
    remains = ", and stays paused then" if turn.status.rollout.paused else ""
    return Answer(f"{turn.name} takes its next step without waiting for checks or gates{remains}", last_word=True)


def _no_step(turn: Turn) -> Answer | None:
    """Say why no step can be taken now; None when one can."""
    match turn.status.phase:
        case Phase.FAILED if not _something_new(turn):
            return _no(f"this revision of {turn.target_name} failed: 'flaggerpy retry' rolls it out again")
        case Phase.PROMOTING if not (turn.seen.routed and turn.canary.analysis.step_weight_promotion > 0):
            return _no(f"{turn.name} is being promoted already")
        case Phase.FINALISING:
            return _no(f"{turn.name} is promoted already")
        case phase if phase in BOOTSTRAP or (phase in IDLE and not _something_new(turn)):
            return _no(f"no rollout of {turn.name} is running")
    return None


def _abort(turn: Turn, request: Request) -> Answer:
    unable = _unable(turn, target_needed=False)
    if unable is not None:
        return unable
    why = f"aborted by {request.by}"
    match turn.status.phase:
        case phase if phase in ANALYSIS:
            rollback.decide(turn, why, severity="warn")
        case Phase.WAITING if turn.seen.target is not None:
            start.refuse(turn, why)
        case Phase.PROMOTING if turn.seen.target is not None and not undo.obstacle(turn):
            rollback.decide(turn, why, severity="warn")
        case Phase.PROMOTING | Phase.FINALISING:
            obstacle = undo.obstacle(turn) if turn.status.phase is Phase.PROMOTING else "its users have returned"
            return _no(
                f"{turn.target_name} passed its analysis and {turn.primary_name} takes it over; {obstacle}: put the "
                f"template that you want back into {turn.target_name} to roll that out"
            )
        case _:
            return _no(f"no rollout of {turn.name} is running")
    held = turn.seen.problems and (turn.status.phase is Phase.PROMOTING or not rollback.possible(turn))
    when = f" as soon as this is mended: {' '.join(turn.seen.problems)}" if held else ""
    return Answer(f"the rollout of {turn.name} is aborted{when}", last_word=True)


def _retry(turn: Turn, request: Request) -> Answer:
    unable = _unable(turn) or _another_revision(turn, request)
    if unable is not None:
        return unable
    if turn.status.phase is not Phase.FAILED:
        return _no(f"no revision of {turn.name} has failed: there is nothing to retry")
    if revision.promoted(turn.seen, turn.target):
        return _no(f"{turn.target_name} asks for the promoted revision again: there is nothing to retry")
    turn.set(phase=Phase.WAITING)
    turn.note(step=turn.status.rollout.step.model_copy(update={"checked_at": None}))
    return Answer(f"the failed revision of {turn.target_name} is rolled out again", last_word=True)


def _unable(turn: Turn, *, target_needed: bool = True) -> Answer | None:
    """Say what keeps any rollout of this canary from being moved; None when nothing does."""
    if turn.canary.spec.suspend:
        return _no(f"{turn.name} is suspended by spec.suspend: set that to false where the Canary is kept")
    if turn.status.rollout.failing and turn.status.phase in ANALYSIS | {Phase.PROMOTING}:
        return _no(f"{turn.name} is being rolled back")
    if target_needed and (turn.seen.target is None or turn.seen.target.deleting):
        return _no(f"{turn.canary.spec.target_ref.kind} {turn.target_name} does not exist")
    if target_needed and turn.seen.problems:
        return _no(" ".join(turn.seen.problems))
    return None


def _something_new(turn: Turn) -> bool:
    """Whether the target asks for a revision that is yet to be rolled out."""
    known = revision.same(turn.status.rollout.applied, turn.seen, turn.target)
    return not known and not revision.promoted(turn.seen, turn.target)


_ANSWERS: dict[Verb, Callable[[Turn, Request], Answer]] = {
    Verb.PAUSE: _pause,
    Verb.RESUME: _resume,
    Verb.PROMOTE: _promote,
    Verb.PROMOTE_FULL: _promote_full,
    Verb.ABORT: _abort,
    Verb.RETRY: _retry,
}
