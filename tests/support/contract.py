"""The modules of the contract, one a file of ``proto/pop3mgmt/v1``; a test holds it to these."""

from pop3mgmt.v1 import (
    access_pb2,
    accounts_pb2,
    audit_pb2,
    auth_pb2,
    backup_pb2,
    maildrop_pb2,
    own_account_pb2,
    roles_pb2,
    server_pb2,
    sessions_pb2,
    throttle_pb2,
    tokens_pb2,
    transform_activations_pb2,
    transforms_pb2,
)

MODULES = (
    access_pb2,
    accounts_pb2,
    audit_pb2,
    auth_pb2,
    backup_pb2,
    maildrop_pb2,
    own_account_pb2,
    roles_pb2,
    server_pb2,
    sessions_pb2,
    throttle_pb2,
    tokens_pb2,
    transform_activations_pb2,
    transforms_pb2,
)
