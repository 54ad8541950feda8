"""A group of runs for people: its plan and its outcome as lines, which the terminal and Prefect show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flows.artifacts import plots
from flows.artifacts.markdown import table
from flows.plan.sections import sections
from flows.run import figures
from flows.trials.plan import Planned, SweepPlan
from flows.trials.result import End, SweepReport, Tried, base_loss
from tasks.core.artifacts import create_markdown_artifact, create_table_artifact
from tasks.core.display import displaying
from tasks.evaluation.result import Interval

PLAN, OUTCOME, ROWS = "finetune-sweep-plan", "finetune-sweep", "finetune-sweep-runs"
HEAD = ("", "settings", "held-out loss", "training loss", "cost", "took", "how it ended")
PLAN_HEAD = ("", "settings", "job", "at most")
_PICTURE = "losses"
_OF_FIRST = ("Machines", "Quota", "Warnings", "A run would fail")  # what holds for every run
WHY_NO_INTERVAL = (
    "A held-out loss is the mean that the job logs: the service keeps no loss of a single conversation, so "
    "there is no interval of one. To see what is chance, repeat runs: --try parameters.training.seed=1,2,3."
)


def publish_plan(plan: SweepPlan) -> None:
    with displaying():
        create_markdown_artifact(plan_page(plan), key=PLAN, description=summary_of_plan(plan))


def publish(report: SweepReport) -> None:
    """The table and the picture, and the rows for programs."""
    with displaying():
        shown = picture(report)
        pictures = {_PICTURE: shown} if shown else {}
        create_markdown_artifact(page(report), key=OUTCOME, description=summary(report), pictures=pictures)
        rows = [each.model_dump(mode="json") for each in report.tried]
        create_table_artifact(rows, key=ROWS, description="The runs of the sweep, for programs")


def plan_page(plan: SweepPlan) -> str:
    parts = [
        f"# {title_of_plan(plan)}",
        table(["", ""], plan_lines(plan)),
        "## Runs",
        table(PLAN_HEAD, plan_rows(plan), right=(3,)),
    ]
    for section in sections(plan.first):
        if section.title in _OF_FIRST[:2]:
            parts += [f"## {section.title} of a run", table(["", ""], section.rows)]
    return "\n\n".join(parts)


def page(report: SweepReport) -> str:
    """The outcome, the picture, and a table of all runs."""
    parts = [f"# Sweep of {report.recipe}", f"**{summary(report)}**"]
    if _points(report):
        parts.append(f"![Held-out loss of each run]({_PICTURE})")
    parts.append(table(HEAD, rows(report), right=(2, 3, 4, 5)))
    if report.repeated:
        parts += ["## Over seeds", table(["settings", "held-out loss (95 %)", "runs"], repeated_rows(report))]
    elif _points(report):
        parts.append(WHY_NO_INTERVAL)
    return "\n\n".join(parts)


def picture(report: SweepReport) -> str | None:
    """The losses as a PNG in a data URI; None where none was measured."""
    points = _points(report)
    return plots.sweep(points, base_loss(report.tried)) if points else None


def title_of_plan(plan: SweepPlan) -> str:
    count, every = len(plan.planned), plan.combinations
    of = "" if count == every else f" of {every} combinations"
    return f"{plan.recipe}: {count} run{'' if count == 1 else 's'}{of}, {plan.parallel} at a time"


def summary_of_plan(plan: SweepPlan) -> str:
    most = "an unknown amount" if plan.most is None else figures.dollars(plan.most)
    return f"{title_of_plan(plan)}, at most {most}"


def plan_lines(plan: SweepPlan) -> list[tuple[str, str]]:
    """What holds for the group: cost and what follows; then what would go wrong."""
    there = sum(each.job is not None for each in plan.planned)
    before = f"{there} of {len(plan.planned)}" + (": nothing is paid for them again" if there else "")
    if plan.first.data.prepared is None:
        before = "not known: the data decides, once it is prepared"
    lines = [
        ("base model", f"{plan.first.base_model} on {plan.first.data.source}"),
        ("trained before", before),
        ("at most", _most(plan)),
        (
            "then",
            "the run with the lowest held-out loss goes on to the gate; only it is served",
        ),
    ]
    lines += [("!", warning) for warning in plan.warnings]
    return lines + [("✗", f"{each.what} {each.do}".strip()) for each in plan.problems]


def plan_rows(plan: SweepPlan) -> list[list[str]]:
    return [
        [str(each.number), each.title, _job(each), figures.dollars(each.at_most)] for each in plan.planned
    ]


def rows(report: SweepReport) -> list[list[str]]:
    """A line for each run, the best first."""
    ordered = sorted(
        report.tried, key=lambda each: (not each.is_measured, each.eval_loss or 0.0, each.number)
    )
    return [_row(report, each) for each in ordered]


def repeated_rows(report: SweepReport) -> list[list[str]]:
    """A line for each setting that was trained with several seeds, the best first."""
    ordered = sorted(report.repeated, key=lambda each: each.loss.mean)
    return [
        [each.title or "as in the recipe", interval(each.loss), ", ".join(map(str, each.numbers))]
        for each in ordered
    ]


def summary(report: SweepReport) -> str:
    """The group in a line."""
    best = report.best
    counts = {end: sum(each.end is end for each in report.tried) for end in End}
    how = ", ".join(f"{count} {end}" for end, count in counts.items() if count)
    spent = figures.dollars(report.training_usd)
    if best is None:
        return f"No winner: {how}; {spent} of training"
    gate = f", gate {report.final.gate}" if report.final and report.final.gate else ""
    return (
        f"{best.title} wins, held-out loss {figures.loss(best.eval_loss)}{gate}: {how}; {spent} of training"
    )


def interval(found: Interval) -> str:
    return f"{found.mean:.3f} ({found.low:.3f} to {found.high:.3f})"


def _most(plan: SweepPlan) -> str:
    if plan.training is None:
        training = "an unknown price of training"
    else:
        by = (
            "the group's budget"
            if plan.budget_usd is not None and plan.training == plan.budget_usd
            else "their own limits"
        )
        training = f"{figures.dollars(plan.training)} of training (by {by})"
    if plan.serving is None:
        serving = "the winner's serving, whose price or end is not known"
    else:
        serving = f"{figures.dollars(plan.serving)} of serving the winner"
    together = "" if plan.most is None else f"{figures.dollars(plan.most)}: "
    free = "" if plan.bills else "; nobody is billed for it here"
    return f"{together}{training}, {serving}{free}"


def _job(planned: Planned) -> str:
    if planned.job is not None:
        return f"= {planned.job}"
    return "+ new" if planned.hours is None else f"+ new, about {figures.duration(planned.hours * 3600)}"


def _row(report: SweepReport, tried: Tried) -> list[str]:
    mark = "★" if tried.number == report.winner else ""
    return [
        f"{tried.number}{mark}",
        tried.title,
        figures.losses(tried.base_loss, tried.eval_loss) or figures.NONE,
        figures.loss(tried.train_loss),
        figures.dollars(tried.dollars),
        figures.duration(tried.seconds),
        _ended(tried),
    ]


def _ended(tried: Tried) -> str:
    if tried.failure and tried.end is End.FAILED:
        return f"{tried.end}: {tried.failure}"
    return f"{tried.end}, job of an earlier run" if tried.reused else tried.end.value


def _points(report: SweepReport) -> Sequence[plots.Point]:
    """The measured runs from the best to the worst, those of several seeds with the interval over them."""
    spans = {number: group.loss for group in report.repeated for number in group.numbers}
    found = (each for each in report.tried if each.is_measured)
    return [
        plots.Point(
            label=f"{each.number}: {each.title}",
            loss=each.eval_loss or 0.0,
            span=(span.low, span.high) if (span := spans.get(each.number)) else None,
            wins=each.number == report.winner,
        )
        for each in sorted(found, key=lambda each: each.eval_loss or 0.0)
    ]


def text(plan: SweepPlan) -> Iterator[str]:
    """The plan as lines of a terminal."""
    yield title_of_plan(plan)
    yield ""
    wide = max(len(each.title) for each in plan.planned)
    long = max(len(_job(each)) for each in plan.planned)
    for each in plan.planned:
        cost = f"at most {figures.dollars(each.at_most)}" if each.at_most is not None else "no known price"
        yield f"  {each.number:>3}  {each.title:{wide}}  {_job(each):{long}}  {cost}"
    yield ""
    for name, says in plan_lines(plan):
        yield f"  {name:14}  {says}"
