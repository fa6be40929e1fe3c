"""`lubiao`: the one command. Each group lives in a module of its own; this one puts them together.

Messages are Chinese first; `--lang en` or LUBIAO_LANG=en speaks English. Every error ends here and
becomes a few lines and an exit code (`output`, `usage`), never a traceback: a traceback may hold
what a citizen wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from gateway.cli import (
    adapter,
    aggregates,
    bench,
    ca,
    case,
    case_proceedings,
    case_proposals,
    case_units,
    case_verify,
    case_view,
    citizen,
    custody,
    demonstration,
    destination,
    doctor,
    evidence,
    handling,
    hub,
    national_rules,
    node,
    peer,
    publishing,
    recovery,
    reference,
    roster,
    rules,
    ticket,
    transfers,
    unit_work,
)
from gateway.cli.output import Exit, Language, errors_in, explain, say, use_language
from gateway.cli.usage import explain_abort, explain_usage, is_usage_error
from gateway.telemetry.logs import places_of

app = typer.Typer(
    name="lubiao",
    help="路标：12345 热线之间的网关 / gateway between China's 12345 hotlines",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demonstration.demo)
app.command()(node.init)
app.command()(node.serve)
app.command()(doctor.doctor)
app.add_typer(ca.app, name="ca")
app.add_typer(roster.app, name="roster")
ticket.app.add_typer(citizen.app)
ticket.app.add_typer(handling.app)
ticket.app.add_typer(unit_work.app)
app.add_typer(ticket.app, name="ticket")
publishing.register(rules.app)
national_rules.register(rules.app)
app.add_typer(rules.app, name="rules")
app.add_typer(reference.app, name="reference")
custody.app.add_typer(transfers.app)
custody.app.add_typer(evidence.app)
custody.app.command("heads")(recovery.heads)
app.add_typer(custody.app, name="custody")
app.add_typer(recovery.app, name="recovery")
app.add_typer(aggregates.app, name="aggregates")
app.add_typer(hub.app, name="hub")
case.app.add_typer(case_proceedings.app)
case.app.add_typer(case_proposals.app)
case.app.add_typer(case_units.app)
case.app.add_typer(case_view.app)
case.app.add_typer(case_verify.app)
app.add_typer(case.app, name="case")
app.add_typer(destination.app, name="destination")
app.add_typer(peer.app, name="peer")
app.add_typer(adapter.app, name="adapter")
app.command()(bench.bench)


def _speak(lang: Language | None) -> Language | None:
    """Speak the chosen language from here on, also about what is wrong with the rest."""
    use_language(lang)
    return lang


@app.callback()
def choose_language(
    *,
    lang: Annotated[
        Language | None,
        typer.Option(
            help="语言；默认 LUBIAO_LANG 或 zh / language", callback=_speak, is_eager=True
        ),
    ] = None,
) -> None:
    """Take the options that stand before every command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    use_language(None)
    try:
        ended = app(args=arguments, prog_name="lubiao", standalone_mode=False)
    except SystemExit as end:  # of a pipe whose reader went away
        return end.code if isinstance(end.code, int) else int(Exit.DONE)
    except typer.Abort:
        return int(explain_abort())
    except Exception as error:  # the last place before the person
        return int(explain_usage(error) if is_usage_error(error) else _explain(error))
    return ended if isinstance(ended, int) else int(Exit.DONE)


def _explain(error: Exception) -> Exit:
    codes = [explain(each) for each in errors_in(error)]
    if codes:
        return max(codes)
    kind, places = type(error).__name__, " ".join(places_of(error)[-3:])
    say(
        f"程序缺陷：{kind}（{places}），请上报。", f"A defect: {kind} ({places}). Please report it."
    )
    return Exit.INTERNAL


if __name__ == "__main__":
    sys.exit(main())
