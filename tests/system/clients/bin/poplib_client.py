#!/usr/bin/python3
"""Refuses lines of more than 2048 octets, and cannot go on in that session."""

import os
import platform
import poplib
import ssl
import sys
from pathlib import Path


def enter() -> poplib.POP3:
    host, port, way = os.environ["HOST"], int(os.environ["PORT"]), os.environ["WAY"]
    context = ssl.create_default_context()
    if way == "tls":
        client: poplib.POP3 = poplib.POP3_SSL(host, port, context=context, timeout=20)
    else:
        client = poplib.POP3(host, port, timeout=20)
        if way == "stls":
            client.stls(context)
    client.user(os.environ["ACCOUNT"])
    client.pass_(os.environ["PASSWORD"])
    return client


def fetch(client: poplib.POP3, count: int) -> poplib.POP3:
    for number in range(1, count + 1):
        try:
            lines = client.retr(number)[1]
        except poplib.error_proto as error:
            print(error, file=sys.stderr)
            client.close()
            client = enter()
        else:
            Path(f"mail/{number}").write_bytes(b"".join(line + b"\r\n" for line in lines))
    return client


def main(what: str) -> None:
    if what == "version":
        print(platform.python_version())
        return
    client, count = enter(), int(os.environ["COUNT"])
    match what:
        case "list":
            messages, octets = client.stat()
            print(f"messages {messages}\noctets {octets}")
            for line in client.list()[1]:
                print("size", line.decode())
        case "fetch":
            client = fetch(client, count)
        case "delete":
            for number in range(1, count + 1):
                client.dele(number)
    client.quit()


main(sys.argv[1])
