"""Who may call what: the table of methods. One that is not in it is refused to everyone."""

from __future__ import annotations

from dataclasses import dataclass

from pop3_service.domain.account import Principal
from pop3_service.domain.rights import Right


@dataclass(frozen=True, slots=True)
class Access:
    """What a method asks of its caller: any one of these rights; with none, a login alone."""

    rights: frozenset[Right] = frozenset()
    is_public: bool = False
    before_change: bool = False
    """Whether it is open while the caller's password must be changed before anything else."""

    def admits(self, principal: Principal) -> bool:
        """Whether a caller may call the method."""
        if principal.is_restricted and self.before_change:
            return True
        return not self.rights or not self.rights.isdisjoint(principal.rights)


def need(*rights: Right) -> Access:
    """Give the access of a method for callers that have any of these rights."""
    return Access(frozenset(rights))


PUBLIC = Access(is_public=True)
LOGGED_IN = Access()
OWN_PASSWORD = Access(frozenset({Right.OWN}), before_change=True)

_V1 = "/pop3mgmt.v1."
ACCESS: dict[str, Access] = {
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/List": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": PUBLIC,
    f"{_V1}AuthService/Login": PUBLIC,
    f"{_V1}AuthService/RenewToken": LOGGED_IN,
    f"{_V1}AuthService/Logout": LOGGED_IN,
    f"{_V1}AuthService/GetCaller": LOGGED_IN,
    f"{_V1}AccountsService/ListAccounts": need(Right.ACCOUNTS_READ),
    f"{_V1}AccountsService/GetAccount": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}AccountsService/GetPasswordPolicy": OWN_PASSWORD,
    f"{_V1}AccountsService/CreateAccount": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ImportAccounts": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/DeleteAccount": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/SetRole": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ResetPassword": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/ChangePassword": OWN_PASSWORD,
    f"{_V1}AccountsService/SetApopSecret": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AccountsService/RemoveApopSecret": need(Right.ACCOUNTS_WRITE),
    f"{_V1}AuditService/ListAuditEntries": need(Right.AUDIT_READ),
    f"{_V1}AuditService/VerifyAudit": need(Right.AUDIT_READ),
    f"{_V1}AuditService/WatchAudit": need(Right.AUDIT_READ),
    f"{_V1}OwnAccountService/ListAppPasswords": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/GetRecentLogins": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/GetPreferences": need(Right.OWN, Right.ACCOUNTS_READ),
    f"{_V1}OwnAccountService/CreateAppPassword": need(Right.OWN),
    f"{_V1}OwnAccountService/UpdatePreferences": need(Right.OWN, Right.ACCOUNTS_WRITE),
    f"{_V1}OwnAccountService/RevokeAppPassword": need(Right.OWN, Right.ACCOUNTS_WRITE),
    f"{_V1}AccessService/ListRules": need(Right.RULES_READ),
    f"{_V1}AccessService/ListBans": need(Right.BANS_READ),
    f"{_V1}AccessService/ListSuspensions": need(Right.BANS_READ),
    f"{_V1}AccessService/CreateRule": need(Right.RULES_WRITE),
    f"{_V1}AccessService/CreateBan": need(Right.BANS_WRITE),
    f"{_V1}AccessService/DeleteRule": need(Right.RULES_WRITE),
    f"{_V1}AccessService/DeleteBan": need(Right.BANS_WRITE),
    f"{_V1}AccessService/SuspendAccount": need(Right.BANS_WRITE),
    f"{_V1}AccessService/ResumeAccount": need(Right.BANS_WRITE),
    f"{_V1}AccessService/ExplainAccess": need(Right.BANS_READ),
    f"{_V1}RolesService/ListRoles": need(Right.ROLES_READ),
    f"{_V1}RolesService/CreateRole": need(Right.ROLES_WRITE),
    f"{_V1}RolesService/UpdateRole": need(Right.ROLES_WRITE),
    f"{_V1}RolesService/DeleteRole": need(Right.ROLES_WRITE),
    f"{_V1}TokensService/ListTokens": need(Right.TOKENS_READ),
    f"{_V1}TokensService/CreateToken": need(Right.TOKENS_WRITE),
    f"{_V1}TokensService/RevokeToken": need(Right.TOKENS_WRITE),
    f"{_V1}SessionsService/ListSessions": need(Right.OWN, Right.SESSIONS_READ),
    f"{_V1}SessionsService/WatchSessions": need(Right.OWN, Right.SESSIONS_READ),
    f"{_V1}SessionsService/DisconnectSession": need(Right.OWN, Right.SESSIONS_DISCONNECT),
    f"{_V1}ServerService/ListCertificates": need(Right.STATUS_READ),
    f"{_V1}ServerService/GetStatus": need(Right.STATUS_READ),
    f"{_V1}ServerService/WatchStatus": need(Right.STATUS_READ),
    f"{_V1}ServerService/GetSettings": need(Right.SETTINGS_READ),
    f"{_V1}ServerService/UpdateSettings": need(Right.SETTINGS_WRITE),
    f"{_V1}ServerService/ReloadCertificates": need(Right.SERVER_OPERATE),
    f"{_V1}ServerService/RestartWorkers": need(Right.SERVER_OPERATE),
    f"{_V1}TransformsService/ListTransforms": need(Right.TRANSFORM_READ),
    f"{_V1}TransformsService/ListTransformVersions": need(Right.TRANSFORM_READ),
    f"{_V1}TransformsService/GetTransform": need(Right.TRANSFORM_READ),
    f"{_V1}TransformsService/DeleteTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformsService/SetTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformsService/TestTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformActivationsService/ListTransformActivations": need(Right.TRANSFORM_READ),
    f"{_V1}TransformActivationsService/ActivateTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformActivationsService/UseCommandLine": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformActivationsService/RollBackTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}TransformActivationsService/DeactivateTransform": need(Right.TRANSFORM_WRITE),
    f"{_V1}ThrottleService/ListThrottled": need(Right.BANS_READ),
    f"{_V1}ThrottleService/ClearThrottle": need(Right.BANS_WRITE),
    f"{_V1}BackupService/ListBackups": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/CreateBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/ExportBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/RestoreBackup": need(Right.BACKUP_WRITE),
    f"{_V1}BackupService/ImportBackup": need(Right.BACKUP_WRITE),
    f"{_V1}MaildropService/ListMessages": need(Right.OWN, Right.MAIL_READ),
    f"{_V1}MaildropService/PutMessage": need(Right.MAIL_WRITE),
    f"{_V1}MaildropService/GetMessage": need(Right.OWN, Right.MAIL_READ),
    f"{_V1}MaildropService/ImportUniqueIds": need(Right.MAIL_WRITE),
}


def open_to(principal: Principal) -> list[str]:
    """Give the methods of the contract that a caller may call, as ``Service/Method``."""
    return [
        name.removeprefix(_V1)
        for name, access in ACCESS.items()
        if name.startswith(_V1) and not access.is_public and access.admits(principal)
    ]
