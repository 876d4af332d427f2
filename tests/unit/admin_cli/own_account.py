"""The own account of a small service in memory."""

from __future__ import annotations

from typing import Any

from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import own_account_pb2, own_account_pb2_grpc

MADE = 1_767_225_600  # 2026-01-01T00:00:00Z
PASSWORD = "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456"


class OwnAccount(own_account_pb2_grpc.OwnAccountServiceServicer):
    """What is asked is kept in ``asked``, as account name and the rest."""

    def __init__(self) -> None:
        self.app_passwords = [
            own_account_pb2.AppPassword(name="phone", last_use_peer="192.0.2.1:5")
        ]
        self.app_passwords[0].create_time.seconds = MADE
        self.app_passwords[0].last_use_time.seconds = MADE + 60
        self.preferences = own_account_pb2.Preferences(transform=True)
        self.logins = [
            own_account_pb2.LoginRecord(
                address="192.0.2.1", via="pop3", mechanism="PASS", attempt_count=1,
                app_password_name="phone", tls_version="TLSv1.3",
            ),
            own_account_pb2.LoginRecord(
                address="192.0.2.9", via="scmp", refusal_reason="INVALID_CREDENTIALS",
                attempt_count=12,
            ),
        ]  # fmt: skip
        for login in self.logins:
            login.login_time.seconds = MADE
        self.asked: list[tuple[str, object]] = []

    def _admit(self, context: Any) -> None:
        raise NotImplementedError

    def _refuse(self, context: Any, reason: Reason, text: str) -> None:
        raise NotImplementedError

    def ListAppPasswords(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append((request.account_name, "app passwords"))
        return own_account_pb2.ListAppPasswordsResponse(app_passwords=self.app_passwords)

    def GetRecentLogins(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append((request.account_name, request.limit))
        return own_account_pb2.GetRecentLoginsResponse(logins=self.logins)

    def GetPreferences(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append((request.account_name, "preferences"))
        return own_account_pb2.GetPreferencesResponse(preferences=self.preferences)

    def CreateAppPassword(self, request: Any, context: Any) -> Any:
        self._admit(context)
        if request.name in {it.name for it in self.app_passwords}:
            self._refuse(context, Reason.APP_PASSWORD_EXISTS, "it is there already")
        made = own_account_pb2.AppPassword(name=request.name)
        made.create_time.seconds = MADE
        self.app_passwords.append(made)
        return own_account_pb2.CreateAppPasswordResponse(app_password=made, password=PASSWORD)

    def UpdatePreferences(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append((request.account_name, sorted(request.update_mask.paths)))
        for path in request.update_mask.paths:
            setattr(self.preferences, path, getattr(request.preferences, path))
        return own_account_pb2.UpdatePreferencesResponse(preferences=self.preferences)

    def RevokeAppPassword(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append((request.account_name, request.name or request.all))
        before = len(self.app_passwords)
        self.app_passwords = [
            it for it in self.app_passwords if not request.all and it.name != request.name
        ]
        count = before - len(self.app_passwords)
        if not count:
            self._refuse(context, Reason.APP_PASSWORD_NOT_FOUND, "there is none")
        return own_account_pb2.RevokeAppPasswordResponse(revoked_count=count, ended_session_count=2)
