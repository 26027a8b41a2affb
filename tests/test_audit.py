"""The audit of CI with its real tools: it fails for what it is for, and says so when it can't look."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http_server import Request, Response, serve

AUDIT = Path(__file__).parents[1] / ".ci" / "audit"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository, and a package that is installed in it."""
    installed = tmp_path / "packages" / "somepackage-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: somepackage\nVersion: 1.0\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def audit(project: Path, service: str) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    settings = {"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": service, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, str(AUDIT), "packages"]
    return subprocess.run(
        command, cwd=project, env={**os.environ, **settings}, capture_output=True, text=True, timeout=100
    )


def answering(*vulnerabilities: str) -> Response:
    found = [
        {"id": each, "summary": "bad", "affected": [], "modified": "2025-01-01T00:00:00Z"} for each in vulnerabilities
    ]
    return Response(body=json.dumps({"vulns": found} if found else {}).encode())


@pytest.mark.parametrize(("found", "code"), [((), 0), (("GHSA-xxxx-yyyy-zzzz",), 1)])
def test_a_vulnerability_fails(found: tuple[str, ...], code: int, project: Path) -> None:
    def answer(_: Request) -> Response:
        return answering(*found)

    with serve(answer) as service:
        ended = audit(project, service.url)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "pip-audit: 1 of 1 packages are known" in ended.stdout
    assert all(each in ended.stdout for each in found)


def test_without_the_service_it_says_so_and_goes_on(project: Path) -> None:
    ended = audit(project, "http://127.0.0.1:9/")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "NOT AUDITED" in ended.stdout


def test_a_secret_that_is_committed_fails(project: Path) -> None:
    (project / "settings.py").write_text("key = 'AKIA" + "ABCDEFGHIJKLMNOP'\n")
    ended = audit(project, "http://127.0.0.1:9/")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "settings.py" in ended.stdout
