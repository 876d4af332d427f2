"""A session's mail through the transform that was in force at its login, to the session's end."""

from __future__ import annotations

import os
from functools import partial

from lineproto.connection import Connection
from lineproto.obtaining import obtain
from lineproto.reply import Err
from pop3_service.domain.account import AccountFacts
from pop3_service.domain.errors import TransformFailed
from pop3_service.domain.transforms import Choice, TransformCount
from pop3_service.maildir.message import Message
from pop3_service.pop3.session import Session
from pop3_service.transform.session import Original, Result, SessionTransform
from pop3_service.worker.context import WorkerContext
from pop3_service.worker.maildrops import OpenMaildrop
from pop3_service.worker.sending import send_message, send_result
from pop3_service.worker.transform_reports import TransformReports

AT_ONCE = 1000
"""Messages that are gone through without letting others have their turn."""


def transformed_mail(
    context: WorkerContext, account: str, facts: AccountFacts, drop: OpenMaildrop
) -> TransformedMail | None:
    """Give an account's mail through what is active for it; None where mail is sent as it is.

    Called at login, while anything is active at all: whoever has no mail, or has chosen that no
    transform applies and may, is not asked for.
    """
    if not drop.messages:
        return None
    if context.settings.transform_optional and not facts.preferences.transform:
        return None
    choice = context.transforms.choose(account, facts.role)
    if choice.transform is None and choice.shadow is None:
        return None
    return TransformedMail(context, account, drop, choice)


class TransformedMail:
    """The messages of a maildrop as one session has them; ``choice`` does not change."""

    __slots__ = ("_account", "_context", "_drop", "_transform", "choice")

    def __init__(
        self, context: WorkerContext, account: str, drop: OpenMaildrop, choice: Choice
    ) -> None:
        self.choice = choice
        self._account = account
        self._context = context
        self._drop = drop
        self._transform: SessionTransform | None = None
        if choice.transform is not None:
            activation = choice.activation if choice.shadow is None else 0
            self._transform = context.session_transform(
                account, choice.transform, partial(_count, context.transform_reports, activation)
            )

    @property
    def is_original(self) -> bool:
        """Whether messages are sent as they are stored, and a shadow sees them afterwards."""
        return self._transform is None

    def __str__(self) -> str:
        """Say through what mail goes; a shadow is in brackets."""
        names = [str(it) for it in (self.choice.transform,) if it is not None]
        names += [f"({it})" for it in (self.choice.shadow,) if it is not None]
        return " ".join(names)

    async def find_sizes(self) -> list[int]:
        """Give the octets of every message as RETR sends it, in order.

        Raises:
            TransformPending: not all are found within the time for it; the work goes on.
        """
        assert self._transform is not None  # noqa: S101 - else sizes are those stored
        if len(self._drop.messages) <= AT_ONCE:
            originals = self._originals()
        else:  # it takes a while, in which others have their turn
            originals = await self._context.on_disk(self._originals)
        await self._transform.find_sizes(originals, self._context.settings.transform_size_wait_s)
        return [self._transform.octets(original) for original in originals]

    async def send(
        self, connection: Connection, session: Session, index: int, lines: int | None
    ) -> Err | None:
        """Answer RETR, or TOP with ``lines``; give what refuses it instead.

        Raises:
            ServiceError: nothing was sent yet.
            ConnectionResetError: the client is gone, or the message broke under way.
        """
        message = self._drop.messages[index]
        result = None
        if self._transform is not None:
            result = await self._result(self._transform, message)
        try:
            refused = session.refuse_form(message.form if result is None else result.form)
            if refused is not None:
                return refused
            if result is None:
                await send_message(
                    connection, self._context, self._drop, message, lines, session.language
                )
            else:
                await send_result(connection, self._context, result, lines, session.language)
            if lines is None:
                self.sent(index, result)
        finally:
            if result is not None:
                result.close()
        return None

    def sent(self, index: int, result: Result | None = None) -> None:
        """Let the shadow see a message that went out, as ``result`` or as it is stored."""
        if self.choice.shadow is not None:
            self._context.shadows.add(
                self._account,
                self.choice.shadow,
                self.choice.activation,
                self._original(self._drop.messages[index]),
                result,
            )

    def close(self) -> None:
        """Let go of the results that the session has held."""
        if self._transform is not None:
            self._transform.close()

    def _originals(self) -> list[Original]:
        return [self._original(message) for message in self._drop.messages]

    async def _result(self, transform: SessionTransform, message: Message) -> Result | None:
        original = self._original(message)
        try:
            return await transform.open(original)
        except TransformFailed:
            # One that is gone or another by now is told as such, whatever came of the program.
            os.close(await obtain(self._context.on_disk(original.open), os.close))
            raise

    def _original(self, message: Message) -> Original:
        return Original(
            message.identity,
            message.size,
            message.octets,
            partial(self._drop.open_message, message),
        )


def _count(reports: TransformReports, activation: int, seconds: float, failure: str) -> None:
    reports.add(TransformCount.of_run(activation, seconds, failure))
