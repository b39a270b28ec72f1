"""The command bin/deploy/deploy: stages functions, tests what was staged, and deploys them beside each other."""

from __future__ import annotations

import argparse
import difflib
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from time import monotonic, sleep

from rich.table import Table

from orchestration.cli import show
from orchestration.deploying.engine import NotTold, Outcome, deploy, gather_all
from orchestration.deploying.selftest import self_tests
from orchestration.deploying.tools import InstalledGcloud, NotPossible, Ran, Tools, commit_of, find_gcloud, real_look
from orchestration.deploying.wanted import wanted_of
from orchestration.staging import REPOSITORY, NotStaged, stage
from shared import wiring
from shared.config.deployment import ENVIRONMENTS, Environment, environment
from shared.config.functions import FUNCTIONS, FunctionSpec
from shared.config.settings import read_settings
from shared.core.deployment import Await, Deploy, Done, Failed, Step, Verify, foreseen
from shared.core.gcloud import command_of
from shared.core.revisions import Live, Wanted

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
STAGED = "build/deploy"
TESTS_AT_ONCE = 2  # nothing but computing
DEPLOYED_AT_ONCE = 4  # builds run at Google, but gcloud itself takes a second of computing for each call
LOCK_S = 1.0
NOTHING_SERVES = "nothing that was verified serves: let nothing invoke it before it is deployed"

EPILOG = """\
exit codes:
  0  every function asked for serves what is checked out
  1  one does not; what served before still does
  2  wrong usage, or nothing can be deployed from here

examples:
  bin/deploy/deploy --all --dry-run          what would be done, and the exact commands
  bin/deploy/deploy self_heal                one function, to dev
  bin/deploy/deploy --all --env prod         all of them, to prod
  bin/deploy/deploy --all --json | jq .      for machines; progress goes to stderr
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/deploy/deploy",
        description="Deploys functions: stage, self-test, build, verify, and only then let the new revision serve.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a function, as its folder is called")
    parser.add_argument("--all", action="store_true", help="every declared function")
    parser.add_argument("--env", choices=[each.name for each in ENVIRONMENTS], default="dev", help="where to (dev)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing there")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    return parser


def main(argv: Sequence[str] | None = None, tools: Tools | None = None, repository: Path = REPOSITORY) -> int:
    """`tools`: other than gcloud and HTTP."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    try:
        specs = chosen(arguments.names, arguments.all)
    except NotPossible as error:
        parser.error(str(error))
    try:
        return _run(arguments, specs, environment(arguments.env), tools, repository)
    except (NotPossible, NotStaged) as error:
        _say(f"{parser.prog}: {error}")
        return USAGE
    except KeyboardInterrupt:
        _say("interrupted; nothing is lost, the same command goes on from here")
        return INTERRUPTED


def chosen(names: Sequence[str], is_all: bool) -> tuple[FunctionSpec, ...]:
    """The functions asked for, each once. Raises NotPossible that names every name that is none."""
    if is_all == bool(names):
        raise NotPossible("name functions, or give --all" if not names else "--all means every function: name none")
    declared = {spec.name: spec for spec in FUNCTIONS}
    asked = [name.replace("-", "_") for name in names]  # what they are called on Google Cloud will do as well
    wrong = [name for name in dict.fromkeys(asked) if name not in declared]
    if wrong:
        near = {name: difflib.get_close_matches(name, declared, n=1) for name in wrong}
        said = [f"{name[:80]!r}" + (f" (did you mean {found[0]}?)" if found else "") for name, found in near.items()]
        raise NotPossible(f"no function: {', '.join(said)}; declared are {', '.join(declared)}")
    return tuple(spec for spec in FUNCTIONS if is_all or spec.name in asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is deployed together."""

    wanted: tuple[Wanted, ...]
    faults: Mapping[str, str]  # by function: why what was staged would not serve
    live: Mapping[str, Live]  # by function
    unknown: str  # why nobody could say what is live

    @property
    def sound(self) -> list[Wanted]:
        return [each for each in self.wanted if not self.faults[each.function]]


def _run(
    arguments: argparse.Namespace,
    specs: Sequence[FunctionSpec],
    there: Environment,
    tools: Tools | None,
    repository: Path,
) -> int:
    began_at = monotonic()
    commit = commit_of(repository, may_differ=arguments.dry_run)
    if tools is None:
        tools = _tools(is_needed=not arguments.dry_run)
    _say(f"{len(specs)} of {len(FUNCTIONS)} functions, commit {commit[:12]}, to {there.name}: {there.project}")
    with alone_in(repository / STAGED) as folder:
        prepared = _prepared(specs, there, commit, folder, tools)
        if arguments.dry_run:
            return _foretell(prepared, is_json=arguments.json, began_at=began_at)
        outcomes = [
            *([] if prepared.unknown else _deployed(prepared, tools)),
            *(
                Outcome(function=each.function, result="failed", why=why)
                for each in prepared.wanted
                if (why := prepared.faults[each.function] or prepared.unknown)
            ),
        ]
    return _report(outcomes, is_json=arguments.json, began_at=began_at)


def _tools(*, is_needed: bool) -> Tools:
    """The real ones. Raises NotPossible where there is no gcloud, if it is needed."""
    try:
        gcloud = InstalledGcloud(find_gcloud())
    except NotPossible as error:
        if is_needed:
            raise
        absent = Ran(1, "", f"ERROR: {str(error).partition(':')[0]}")
        return Tools(gcloud=lambda _: absent, look=lambda _step, _wanted: absent.err, pause=sleep)
    return Tools(gcloud=gcloud, look=real_look(gcloud), pause=sleep, stop=gcloud.stop)


@contextmanager
def alone_in(folder: Path) -> Iterator[Path]:
    """The folder is this process's. Raises NotPossible where another deploys from it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        if not wiring.lock_within(lock.fileno(), LOCK_S):
            raise NotPossible(f"{folder}: another command deploys from this clone; wait for it, or use another clone")
        yield folder


def _prepared(specs: Sequence[FunctionSpec], there: Environment, commit: str, folder: Path, tools: Tools) -> Prepared:
    """Everything that costs nothing is done, for all of them, before anything is changed."""
    wanted = tuple(wanted_of(spec, there, commit, stage(spec.name, folder).folder.resolve()) for spec in specs)
    _say(f"staged in {STAGED}; testing what was staged, and asking what is live")
    with ThreadPoolExecutor(max_workers=TESTS_AT_ONCE) as pool:
        parts = [part for start in range(TESTS_AT_ONCE) if (part := wanted[start::TESTS_AT_ONCE])]
        tests = pool.map(self_tests, parts)
        live, unknown = _gathered(wanted, tools)
        whys = {
            each.function: why
            for part, told in zip(parts, tests, strict=True)
            for each, why in zip(part, told, strict=True)
        }
    faults = {each.function: f"self-test: {why}" if (why := whys[each.function]) else "" for each in wanted}
    for name, why in faults.items():
        if why:
            _say(f"{name}: {why}")
    return Prepared(wanted=wanted, faults=faults, live=live, unknown=unknown)


def _gathered(wanted: Sequence[Wanted], tools: Tools) -> tuple[dict[str, Live], str]:
    try:
        return gather_all(wanted, tools), ""
    except NotTold as error:
        return {}, str(error)


def _deployed(prepared: Prepared, tools: Tools) -> list[Outcome]:
    """Beside each other; one that fails stops no other."""
    count, done, lock = len(prepared.sound), [0], Lock()

    def one(wanted: Wanted) -> Outcome:
        outcome = deploy(wanted, prepared.live[wanted.function], tools, lambda text: _say(f"{wanted.function}: {text}"))
        with lock:
            done[0] += 1
            _say(f"{wanted.function}: {outcome.result} ({done[0]} of {count})")
        return outcome

    with ThreadPoolExecutor(max_workers=DEPLOYED_AT_ONCE) as pool:
        try:
            return list(pool.map(one, prepared.sound))
        except KeyboardInterrupt:
            tools.stop()  # else each would go on to its end, minutes away
            raise


# --- what is told ---------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(show.safe(text), file=sys.stderr, flush=True)  # noqa: T201


def _foretell(prepared: Prepared, *, is_json: bool, began_at: float) -> int:
    """What would be done, as commands that can be pasted. 1 where a staged folder would not serve."""
    if prepared.unknown:
        _say(f"what is live is not known, so this is what a first deployment would do: {prepared.unknown}")
    plans = {each.function: foreseen(each, prepared.live.get(each.function, Live())) for each in prepared.sound}
    if is_json:
        show.print_json(
            {
                "functions": [
                    {"function": each.function, "steps": [_as_json(step, each) for step in plans[each.function]]}
                    for each in prepared.sound
                ],
                "failed": {name: why for name, why in prepared.faults.items() if why},
                "live_unknown": prepared.unknown,
            }
        )
    else:
        for each in prepared.sound:
            show.print_text(f"# {each.function}")
            for step in plans[each.function]:
                show.print_text(_in_words(step, each))
    changed = sum(not isinstance(steps[0], Done) for steps in plans.values())
    failed = sum(map(bool, prepared.faults.values()))
    _say(
        f"dry run: {changed} to deploy, {len(plans) - changed} unchanged, {failed} that would not serve; "
        f"nothing was changed ({monotonic() - began_at:.0f} s)"
    )
    return FAILED if failed else OK


def _in_words(step: Step, wanted: Wanted) -> str:
    match step:
        case Deploy(because):
            return f"# {'; '.join(because)}\n{shlex.join(['gcloud', *command_of(step, wanted)])}"
        case Verify(url=url):
            return f"# ask {url} for /health (commit {wanted.commit}) and /ready; go on only if both are right"
        case Done(revision):
            return f"# {revision} serves, verified"
        case Await():
            return "# another deployment is under way: wait, then look again"
        case Failed(why):
            return f"# it would fail: {why}"
        case _:
            return shlex.join(["gcloud", *command_of(step, wanted)])


def _as_json(step: Step, wanted: Wanted) -> dict[str, object]:
    command = command_of(step, wanted)
    return {"step": type(step).__name__.lower(), **asdict(step), "command": ["gcloud", *command] if command else []}


def _report(outcomes: Sequence[Outcome], *, is_json: bool, began_at: float) -> int:
    """A line for each, and what to do about those that failed."""
    counts = Counter(outcome.result for outcome in outcomes)
    if is_json:
        show.print_json({"functions": [asdict(outcome) for outcome in outcomes], "counts": counts})
    else:
        table = Table("function", "result", "serves", "steps", box=None, pad_edge=False, header_style="dim")
        for outcome in outcomes:
            table.add_row(outcome.function, outcome.result, outcome.revision or "-", " ".join(outcome.steps) or "-")
        show.console(read_settings(first={"TIPOFF_TARGET": "local"})).print(table)
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    for why in dict.fromkeys(f"{outcome.why} ({_serves(outcome)})" for outcome in failed):  # one cause, one line
        names = [outcome.function for outcome in failed if why == f"{outcome.why} ({_serves(outcome)})"]
        _say(f"{', '.join(names)} failed: {why}")
    said = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    nothing = "; nothing was changed" if set(counts) == {"unchanged"} else ""
    _say(f"{said}{nothing} ({monotonic() - began_at:.0f} s)")
    return FAILED if counts["failed"] else OK


def _serves(outcome: Outcome) -> str:
    if outcome.revision is None:
        return "what serves was not touched" if not outcome.steps else "what serves has changed only if it was verified"
    by_hand = ", as somebody has said by hand" if outcome.by_hand else ""
    return f"{outcome.revision} goes on serving{by_hand}" if outcome.revision else NOTHING_SERVES


if __name__ == "__main__":
    sys.exit(main())
