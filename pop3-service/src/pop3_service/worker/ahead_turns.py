"""Mail that waits to be transformed ahead: one message of each account in turn."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from lineproto.clock import Clock
from pop3_service.domain.transforms import Choice, Transform
from pop3_service.maildir.message import Message

MESSAGES_AT_A_TIME = 500
"""Messages of an account that are remembered; those beyond are counted."""
MESSAGES = 20_000
"""Messages of all accounts that are remembered before there is no room for more."""
RETRY_S = 900.0
"""Time for which a message that failed is left alone."""
FAILURES = 10_000
"""Messages of which it is known that they failed."""


class Mailbox:
    """One account's mail, what it is to be passed through, and those messages that wait for it.

    ``more`` wait besides the ones that are remembered.
    """

    __slots__ = ("account", "choice", "has_turn", "messages", "more", "transform")

    def __init__(self, account: str, choice: Choice, transform: Transform) -> None:
        self.account = account
        self.choice = choice
        self.transform = transform
        self.messages: deque[Message] | None = None  # an empty one takes 600 octets
        self.more = 0
        self.has_turn = False

    @property
    def activation(self) -> int:
        """What runs count for; beside a shadow they count for nothing."""
        return 0 if self.choice.shadow else self.choice.activation


class Turns:
    """The mailboxes there are, by account; ``waiting`` messages are left to be done."""

    def __init__(self, clock: Clock) -> None:
        self.mailboxes: dict[str, Mailbox] = {}
        self.waiting = 0
        self.failures = 0
        self._remembered = 0
        self._turns: deque[Mailbox] = deque()
        self._clock = clock
        self._failed: OrderedDict[tuple[str, Transform, str], float] = OrderedDict()
        """When a message failed, by account, transform and identity."""

    @property
    def has_room(self) -> bool:
        """Whether more messages can be remembered."""
        return self._remembered < MESSAGES

    def replace(self, mailboxes: Iterable[Mailbox]) -> None:
        """Keep these mailboxes alone."""
        self.mailboxes = {mailbox.account: mailbox for mailbox in mailboxes}
        self._remembered = sum(len(it.messages or ()) for it in self.mailboxes.values())
        self.waiting = self._remembered + sum(it.more for it in self.mailboxes.values())

    def put(self, mailbox: Mailbox, messages: Sequence[Message]) -> None:
        """Let these messages of a mailbox wait, and no others, but for what failed lately."""
        if self.mailboxes.get(mailbox.account) is not mailbox:
            return
        found = [it for it in messages if not self._has_failed(mailbox, it)]
        some, had = found[:MESSAGES_AT_A_TIME], len(mailbox.messages or ())
        self._remembered += len(some) - had
        self.waiting += len(found) - had - mailbox.more
        mailbox.messages = deque(some) if some else None
        mailbox.more = len(found) - len(some)
        if some:
            self._give_turn(mailbox)

    def next(self) -> tuple[Mailbox, Message] | None:
        """Give the next message and whose it is, and let it wait no longer; None if none waits."""
        while self._turns:
            mailbox = self._turns.popleft()
            mailbox.has_turn = False
            if mailbox.messages and self.mailboxes.get(mailbox.account) is mailbox:
                message = mailbox.messages.popleft()
                self._remembered -= 1
                self.waiting -= 1
                if mailbox.messages:
                    self._give_turn(mailbox)
                else:
                    mailbox.messages = None
                return mailbox, message
        return None

    def failed(self, mailbox: Mailbox, message: Message) -> None:
        """Note that a message failed."""
        self.failures += 1
        self._failed[_key(mailbox, message)] = self._clock.monotonic()
        if len(self._failed) > FAILURES:
            self._failed.popitem(last=False)

    def _give_turn(self, mailbox: Mailbox) -> None:
        if not mailbox.has_turn:
            mailbox.has_turn = True
            self._turns.append(mailbox)

    def _has_failed(self, mailbox: Mailbox, message: Message) -> bool:
        """Whether a message failed a short while ago."""
        if not self._failed:
            return False
        failed_s = self._failed.get(_key(mailbox, message))
        return failed_s is not None and self._clock.monotonic() < failed_s + RETRY_S


def _key(mailbox: Mailbox, message: Message) -> tuple[str, Transform, str]:
    return mailbox.account, mailbox.transform, message.identity
