"""A small service in memory behind the real contract, on loopback and a port of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

from pop3mgmt.errors import to_status
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    maildrop_pb2,
    maildrop_pb2_grpc,
    own_account_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    throttle_pb2,
    throttle_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
    transform_activations_pb2_grpc,
    transforms_pb2_grpc,
)
from unit.admin_cli.own_account import OwnAccount
from unit.admin_cli.transform_activations import TransformActivations
from unit.admin_cli.transforms import Transforms

MADE = 1_767_225_600  # 2026-01-01T00:00:00Z
TOKEN = "token-of-admin"
PASSWORD = "pässword"


class Service(
    auth_pb2_grpc.AuthServiceServicer,
    accounts_pb2_grpc.AccountsServiceServicer,
    sessions_pb2_grpc.SessionsServiceServicer,
    server_pb2_grpc.ServerServiceServicer,
    maildrop_pb2_grpc.MaildropServiceServicer,
    throttle_pb2_grpc.ThrottleServiceServicer,
    tokens_pb2_grpc.TokensServiceServicer,
):
    """The service; a test reads and sets what is in it."""

    def __init__(self) -> None:
        self.accounts = {"admin": account("admin", "admin")}
        self.accounts["admin"].has_default_password = True
        self.passwords = {"admin": PASSWORD}
        self.apop_secrets: dict[str, str] = {}
        self.policy = accounts_pb2.PasswordPolicy()
        self.tokens = {TOKEN}
        self.automation: dict[str, tokens_pb2.AutomationToken] = {}
        self.lifetimes_s: list[float] = []
        self.logins: list[str] = []
        self.token_life_s = 3600
        self.renewals = 0
        self.refusal: Reason | None = None
        self.warnings: list[str] = []
        self.sessions = [session("7", "192.0.2.1:51000", "alice")]
        self.events: list[sessions_pb2.SessionEvent] = []
        self.stays_open = False
        self.throttled: list[throttle_pb2.Throttled] = []
        self.status = server_pb2.Status(
            version="1.2.3",
            current_connection_count=3,
            sent_bytes=5 * 1024 * 1024,
            warnings=["the default password of admin is in place"],
        )
        self.status.start_time.seconds = MADE
        self.status.status_time.seconds = MADE + 5400
        self.settings = server_pb2.Settings(max_accounts=100, max_connections=1000)
        self.settings.idle_timeout.seconds = 600
        self.settings.min_login_delay.nanos = 500_000_000
        self.certificates = [certificate("mail.example", "*.mail.example")]
        self.certificates[0].is_default = True
        self.mail: dict[str, dict[str, bytes]] = {"alice": {}}
        self.accounts_file = b""
        self.accounts_request = accounts_pb2.ImportAccountsRequest()
        self.imported_lines: list[accounts_pb2.ImportedLine] = []
        self.imports: list[maildrop_pb2.ImportUniqueIdsRequest] = []
        self.imported: dict[str, maildrop_pb2.ImportUniqueIdsResponse] = {}
        self.own = _OwnAccount(self)
        self.transforms = Transforms(self._admit)
        self.activations = TransformActivations(self._admit)
        self._server = grpc.server(ThreadPoolExecutor(4))
        for add in (
            auth_pb2_grpc.add_AuthServiceServicer_to_server,
            accounts_pb2_grpc.add_AccountsServiceServicer_to_server,
            sessions_pb2_grpc.add_SessionsServiceServicer_to_server,
            server_pb2_grpc.add_ServerServiceServicer_to_server,
            maildrop_pb2_grpc.add_MaildropServiceServicer_to_server,
            throttle_pb2_grpc.add_ThrottleServiceServicer_to_server,
            tokens_pb2_grpc.add_TokensServiceServicer_to_server,
        ):
            add(self, self._server)
        own_account_pb2_grpc.add_OwnAccountServiceServicer_to_server(self.own, self._server)
        transforms_pb2_grpc.add_TransformsServiceServicer_to_server(self.transforms, self._server)
        transform_activations_pb2_grpc.add_TransformActivationsServiceServicer_to_server(
            self.activations, self._server
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _admit(self, context: Any) -> None:
        if self.refusal is not None:
            refuse(context, self.refusal, "refused as the test asked")
        given = dict(context.invocation_metadata()).get("authorization", "")
        if given.removeprefix("Bearer ") not in self.tokens:
            refuse(context, Reason.INVALID_CREDENTIALS, "the login is not valid any more")

    # --- auth ---

    def Login(self, request: Any, context: Any) -> Any:
        if self.refusal is not None:
            refuse(context, self.refusal, "refused as the test asked")
        if self.passwords.get(request.name) != request.password:
            refuse(context, Reason.INVALID_CREDENTIALS, "wrong name or password")
        self.logins.append(request.name)
        token = f"token-{len(self.logins)}"
        self.tokens.add(token)
        response = auth_pb2.LoginResponse(
            token=token, account=self.accounts[request.name], warnings=self.warnings
        )
        response.expire_time.GetCurrentTime()
        response.expire_time.seconds += self.token_life_s
        return response

    def RenewToken(self, _: Any, context: Any) -> Any:
        self._admit(context)
        self.renewals += 1
        response = auth_pb2.RenewTokenResponse()
        response.expire_time.GetCurrentTime()
        response.expire_time.seconds += 3600
        return response

    def Logout(self, _: Any, context: Any) -> Any:
        self._admit(context)
        given = dict(context.invocation_metadata())["authorization"]
        self.tokens.discard(given.removeprefix("Bearer "))
        return auth_pb2.LogoutResponse()

    # --- accounts ---

    def ListAccounts(self, _: Any, context: Any) -> Any:
        self._admit(context)
        found = [self.accounts[name] for name in sorted(self.accounts)]
        return accounts_pb2.ListAccountsResponse(accounts=found, total_count=len(found))

    def GetAccount(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._known(request.name or "admin", context)
        return accounts_pb2.GetAccountResponse(account=self.accounts[request.name or "admin"])

    def CreateAccount(self, request: Any, context: Any) -> Any:
        self._admit(context)
        if request.name in self.accounts:
            refuse(context, Reason.ACCOUNT_EXISTS, f'account "{request.name}" already exists')
        self.accounts[request.name] = account(request.name, request.role_name or "user")
        self.accounts[request.name].must_change_password = request.must_change_password
        self.passwords[request.name] = request.password
        return accounts_pb2.CreateAccountResponse(account=self.accounts[request.name])

    def DeleteAccount(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._known(request.name, context)
        del self.accounts[request.name]
        if request.delete_mail:
            self.mail.pop(request.name, None)
        return accounts_pb2.DeleteAccountResponse(ended_session_count=2)

    def ResetPassword(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._known(request.name, context)
        self.passwords[request.name] = "random-1"
        return accounts_pb2.ResetPasswordResponse(
            new_password="random-1", must_change_password=request.must_change_password
        )

    def GetPasswordPolicy(self, request: Any, context: Any) -> Any:
        self._admit(context)
        return accounts_pb2.GetPasswordPolicyResponse(policy=self.policy)

    def ChangePassword(self, request: Any, context: Any) -> Any:
        self._admit(context)
        if self.passwords["admin"] != request.old_password:
            refuse(context, Reason.INVALID_CREDENTIALS, "the old password is wrong")
        self.passwords["admin"] = request.new_password
        return accounts_pb2.ChangePasswordResponse(ended_session_count=1)

    def SetApopSecret(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._known(request.name, context)
        self.apop_secrets[request.name] = request.secret or "random-2"
        return accounts_pb2.SetApopSecretResponse(secret=self.apop_secrets[request.name])

    def RemoveApopSecret(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self._known(request.name, context)
        self.apop_secrets.pop(request.name, None)
        return accounts_pb2.RemoveApopSecretResponse(ended_session_count=3)

    def _known(self, name: str, context: Any) -> None:
        if name not in self.accounts:
            refuse(context, Reason.ACCOUNT_NOT_FOUND, f'no account "{name}"')

    def ImportAccounts(self, requests: Any, context: Any) -> Any:
        self.accounts_request = next(requests)
        rest = b"".join(request.chunk for request in requests)
        self.accounts_file = self.accounts_request.chunk + rest
        self._admit(context)
        for line in self.imported_lines:
            yield accounts_pb2.ImportAccountsResponse(lines=[line])

    # --- tokens ---

    def ListTokens(self, _: Any, context: Any) -> Any:
        self._admit(context)
        found = list(self.automation.values())
        return tokens_pb2.ListTokensResponse(tokens=found, total_count=len(found))

    def CreateToken(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.lifetimes_s.append(request.lifetime.ToTimedelta().total_seconds())
        made = tokens_pb2.AutomationToken(
            name=request.name,
            role_name=request.role_name,
            networks=request.networks,
            created_by="admin",
        )
        made.create_time.seconds = MADE
        self.automation[request.name] = made
        return tokens_pb2.CreateTokenResponse(secret="valija_secret", token=made)

    def RevokeToken(self, request: Any, context: Any) -> Any:
        self._admit(context)
        if self.automation.pop(request.name, None) is None:
            refuse(context, Reason.NOT_FOUND, f'no token "{request.name}"')
        return tokens_pb2.RevokeTokenResponse()

    # --- sessions ---

    def ListSessions(self, request: Any, context: Any) -> Any:
        self._admit(context)
        found = [one for one in self.sessions if request.account_name in ("", one.account_name)]
        return sessions_pb2.ListSessionsResponse(sessions=found, total_count=len(found))

    def WatchSessions(self, _: Any, context: Any) -> Iterator[Any]:
        self._admit(context)
        yield sessions_pb2.WatchSessionsResponse()
        for event in self.events:
            yield sessions_pb2.WatchSessionsResponse(event=event)
        if self.stays_open:
            wait_until_gone(context)

    def DisconnectSession(self, request: Any, context: Any) -> Any:
        self._admit(context)
        before = len(self.sessions)
        self.sessions = [
            one
            for one in self.sessions
            if one.id != request.session_id and one.account_name != request.account_name
        ]
        if request.session_id and len(self.sessions) == before:
            refuse(context, Reason.SESSION_NOT_FOUND, f"no session {request.session_id}")
        return sessions_pb2.DisconnectSessionResponse(
            ended_session_count=before - len(self.sessions)
        )

    # --- throttle ---

    def ListThrottled(self, request: Any, context: Any) -> Any:
        self._admit(context)
        return throttle_pb2.ListThrottledResponse(
            throttled=self.throttled, total_count=len(self.throttled)
        )

    def ClearThrottle(self, request: Any, context: Any) -> Any:
        self._admit(context)
        before = len(self.throttled)
        self.throttled = [
            it
            for it in self.throttled
            if (it.network or None, it.account_name or None)
            not in ((request.address, None), (None, request.account_name))
        ]
        return throttle_pb2.ClearThrottleResponse(cleared_count=before - len(self.throttled))

    # --- server ---

    def GetStatus(self, _: Any, context: Any) -> Any:
        self._admit(context)
        if self.stays_open:
            wait_until_gone(context)
        return server_pb2.GetStatusResponse(status=self.status)

    def WatchStatus(self, request: Any, context: Any) -> Iterator[Any]:
        self._admit(context)
        self.watch_interval_s = request.interval.ToTimedelta().total_seconds()
        for _ in range(2):
            yield server_pb2.WatchStatusResponse(status=self.status)

    def GetSettings(self, _: Any, context: Any) -> Any:
        self._admit(context)
        return server_pb2.GetSettingsResponse(settings=self.settings)

    def UpdateSettings(self, request: Any, context: Any) -> Any:
        self._admit(context)
        request.update_mask.MergeMessage(request.settings, self.settings, True)
        return server_pb2.UpdateSettingsResponse(settings=self.settings)

    def ListCertificates(self, _: Any, context: Any) -> Any:
        self._admit(context)
        return server_pb2.ListCertificatesResponse(
            certificates=self.certificates, total_count=len(self.certificates)
        )

    def ReloadCertificates(self, _: Any, context: Any) -> Any:
        self._admit(context)
        self.certificates.append(certificate("new.example"))
        return server_pb2.ReloadCertificatesResponse(certificates=self.certificates)

    def RestartWorkers(self, _: Any, context: Any) -> Any:
        self._admit(context)
        return server_pb2.RestartWorkersResponse(worker_count=2)

    # --- maildrop ---

    def ListMessages(self, request: Any, context: Any) -> Any:
        self._admit(context)
        found = []
        mail = self.mail.get(request.account_name or "alice", {})
        for number, (uidl, content) in enumerate(mail.items(), 1):
            info = maildrop_pb2.MessageInfo(number=number, uidl=uidl, size_bytes=len(content))
            info.deliver_time.seconds = MADE
            found.append(info)
        return maildrop_pb2.ListMessagesResponse(messages=found, total_count=len(found))

    def PutMessage(self, requests: Iterator[Any], context: Any) -> Any:
        self._admit(context)
        pieces = list(requests)
        content = b"".join(piece.chunk for piece in pieces)
        mail = self.mail.setdefault(pieces[0].account_name, {})
        uidl = f"{MADE}.M{len(mail) + 1}"
        mail[uidl] = content
        return maildrop_pb2.PutMessageResponse(uidl=uidl, stored_bytes=len(content))

    def GetMessage(self, request: Any, context: Any) -> Iterator[Any]:
        self._admit(context)
        content = self.mail.get(request.account_name, {}).get(request.uidl)
        if content is None:
            refuse(context, Reason.MESSAGE_NOT_FOUND, f"no message {request.uidl}")
            return
        step = 5 if len(content) < 1000 else 100_000
        for at in range(0, len(content), step):
            yield maildrop_pb2.GetMessageResponse(chunk=content[at : at + step])

    def ImportUniqueIds(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.imports.append(request)
        if request.account_name not in self.imported:
            refuse(context, Reason.MAILDROP_IN_USE, "maildrop is in use by another session")
        return self.imported[request.account_name]


def account(name: str, role: str = "user") -> accounts_pb2.Account:
    made = accounts_pb2.Account(name=name, role_name=role)
    made.create_time.seconds = MADE
    return made


def certificate(*names: str) -> server_pb2.Certificate:
    made = server_pb2.Certificate(
        names=names, issuer="CN=Authority", source_file="/tls/fullchain.pem", fingerprint="AB:CD"
    )
    made.not_before_time.seconds = MADE
    made.not_after_time.seconds = MADE + 90 * 86400
    return made


def session(number: str, peer: str, name: str) -> sessions_pb2.Session:
    made = sessions_pb2.Session(
        id=number,
        peer=peer,
        account_name=name,
        sent_bytes=2048,
        sent_message_count=3,
        idle_seconds=90,
    )
    made.connect_time.seconds = MADE
    return made


def event(kind: Any, of: sessions_pb2.Session, skipped: int = 0) -> sessions_pb2.SessionEvent:
    made = sessions_pb2.SessionEvent(kind=kind, session=of, skipped_count=skipped)
    made.event_time.seconds = MADE
    return made


def refuse(context: Any, reason: Reason, text: str) -> None:
    context.abort_with_status(to_status(reason, text))


def wait_until_gone(context: Any) -> None:
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait()


class _OwnAccount(OwnAccount):
    """The own account, for who is logged in to the service."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def _admit(self, context: Any) -> None:
        self._service._admit(context)

    def _refuse(self, context: Any, reason: Reason, text: str) -> None:
        refuse(context, reason, text)
