"""Commands that have commands of their own."""

from __future__ import annotations

import click

from hilnas.suggestion import did_you_mean


class Group(click.Group):
    """Answers a mistyped command with what it was meant to be."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the question in its error."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} {did_you_mean(args[0], self.list_commands(ctx))}".rstrip(), ctx) from error
