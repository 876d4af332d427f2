"""What the containers are allowed, what they show, and what lies in the images."""

import json
import re
import subprocess
from pathlib import Path

import docker
import pytest

from support.compose import ROOT, Project, project
from support.events import wait_for

PRODUCTION = (ROOT / "docker-compose.yml", ROOT / "docker-compose.production.yml")
LOOPBACK = {"POP3_BIND_IPV4": "127.0.0.1", "POP3_BIND_IPV6": "[::1]"}
PIDS = {"pop3-service": 4096, "scmp-gateway": 512}
"""Processes and threads that each may have: the service runs transforms."""
LONG_RUNNING = PIDS.keys()
SECRETS = re.compile(
    r"pass[123]\b|index-url|_PASSWORD=[^,\"\s]|BEGIN [A-Z ]*PRIVATE KEY|//[^/\s]*:[^/\s]*@"
)


def test_everything_is_healthy_from_nothing(running: Project) -> None:
    found = running.containers()
    assert found.keys() == {*LONG_RUNNING, "maildir-init"}
    for name in LONG_RUNNING:  # Docker asks each ten seconds

        def is_healthy(name: str = name) -> bool:
            state = running.containers()[name].attrs["State"]
            return bool(state["Health"]["Status"] == "healthy")

        wait_for(is_healthy)
    assert found["maildir-init"].attrs["State"]["ExitCode"] == 0


@pytest.mark.parametrize("service", sorted(LONG_RUNNING))
def test_a_container_may_do_nothing_that_it_need_not(running: Project, service: str) -> None:
    container = running.containers()[service]
    host, config = container.attrs["HostConfig"], container.attrs["Config"]
    assert config["User"] not in ("", "0", "root")
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Init"] is True
    assert host["Privileged"] is False
    assert host["PidsLimit"] == PIDS[service]
    assert all("docker.sock" not in mount["Source"] for mount in container.attrs["Mounts"])
    status = container.exec_run(["cat", "/proc/self/status"]).output.decode()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(facts["Uid"].split()) == {"10001"}
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert container.exec_run(["touch", "/etc/x"]).exit_code != 0


def test_only_loopback_is_published_and_grpc_not_at_all(running: Project) -> None:
    published = {
        (name, inside, binding["HostIp"])
        for name, container in running.containers().items()
        for inside, bindings in (container.attrs["NetworkSettings"]["Ports"] or {}).items()
        for binding in bindings or []
    }
    assert published == {
        ("pop3-service", "1110/tcp", "127.0.0.1"),
        ("pop3-service", "9090/tcp", "::1"),
        ("pop3-service", "1995/tcp", "127.0.0.1"),
        ("pop3-service", "1995/tcp", "::1"),
        ("scmp-gateway", "1111/tcp", "127.0.0.1"),
        ("scmp-gateway", "1112/tcp", "127.0.0.1"),
    }


def test_no_registry_is_asked_for_our_own_images(running: Project) -> None:
    """Somebody else's image could have the name."""
    told = running.compose("--profile", "tools", "config", "--format", "json")
    services = json.loads(told.stdout)["services"]
    assert services.keys() == {*LONG_RUNNING, "maildir-init", "admin-cli"}
    assert {service["pull_policy"] for service in services.values()} == {"never"}


def test_the_seeds_programs_are_in_the_image(running: Project) -> None:
    for program in ("wc", "cat", "sed", "tr"):
        found = running.service().exec_run(["sh", "-c", f"command -v {program}"])
        assert found.exit_code == 0, program


@pytest.mark.parametrize(
    "image", ["valija-pop3-service", "valija-scmp-gateway", "valija-admin-cli"]
)
def test_no_secret_is_in_an_image(
    running: Project, engine: docker.DockerClient, image: str
) -> None:
    running.compose("build", "admin-cli")
    told = engine.images.get(image)
    assert not SECRETS.search(json.dumps(told.history()))
    assert not SECRETS.search(json.dumps(told.attrs["Config"]))
    assert told.attrs["Config"]["User"] not in ("", "0", "root")


def test_no_secret_is_in_an_argument(running: Project) -> None:
    for container in running.containers().values():
        arguments = [container.attrs["Path"], *container.attrs["Args"]]
        assert not SECRETS.search(" ".join(arguments))


def test_a_folder_of_another_owner_is_told_with_the_exact_mend(
    engine: docker.DockerClient, tmp_path, running: Project
) -> None:
    """Whoever removes maildir-init gets the fix printed."""
    tmp_path.chmod(0o755)
    with project(tmp_path, engine) as other:
        told = other.compose("up", "--no-deps", "--wait", "pop3-service", check=False)
        assert told.returncode != 0
        logs = other.logs("pop3-service")
        assert "sudo chown -R 10001:10001 maildir-volume" in logs
        assert "Traceback" not in logs


def test_the_files_for_production_start_with_a_password_that_only_its_owner_can_read(
    engine: docker.DockerClient, tmp_path: Path, running: Project
) -> None:
    mail, password = tmp_path / "mail", tmp_path / "password"
    mail.mkdir()
    password.write_text("own secret of ours\n")
    password.chmod(0o600)
    own = {"VALIJA_ADMIN_PASSWORD_FILE": str(password), **LOOPBACK}
    with project(mail, engine, files=PRODUCTION, **own) as other:
        other.up()
        with other.connect() as client:
            assert client.log_in("user1", "pass1").startswith("-ERR [AUTH]")
        with other.admin(password="own secret of ours") as admin:
            assert admin.listing("USERS") == ["default admin sessions=0"]
        assert "default password" not in other.logs("pop3-service")


def test_the_admin_tool_works_as_a_container(running: Project) -> None:
    login = {"POP3CTL_USER": "default", "POP3CTL_PASSWORD": "default"}
    running.compose("build", "admin-cli")  # whose output would be in that of the first run
    told = running.compose("run", "--rm", "-T", "admin-cli", "status", "--json", **login)
    assert json.loads(told.stdout)["current_connection_count"] >= 0
    wrong = {**login, "POP3CTL_PASSWORD": "wrong"}
    told = running.compose(
        "run", "--rm", "-T", "admin-cli", "accounts", "list", check=False, **wrong
    )
    assert told.returncode == 4
    assert "wrong" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_demo_in_which_all_mail_was_deleted_changes_no_tracked_file(
    engine: docker.DockerClient, tmp_path: Path, running: Project
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    files = (clone / "docker-compose.yml",)
    with project(clone / "maildir-volume", engine, files=files) as demo:
        demo.up()
        for number in (1, 2, 3):
            with demo.connect() as client:
                client.log_in(f"user{number}", f"pass{number}")
                for message in (1, 2, 3, 4):
                    assert client.ask(f"DELE {message}").startswith("+OK")
                assert client.ask("QUIT") == "+OK 4 messages deleted, bye"
    told = subprocess.run(
        ["git", "-C", clone, "status", "--porcelain"], capture_output=True, text=True, check=True
    )
    assert told.stdout == ""
