"""Programs that others wrote: what they print, what they declare, and whether they compile, prepared or not."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aca_node_interpreter.javascript.prepare import prepare_code
from aca_node_interpreter.local.node import find_node
from tests.conftest import SHARED
from tests.javascript.oracle import SCRIPT, Oracle, identifiers, wire
from tests.machine import npm_install, unavailable

PROBLEMS = SHARED / "data" / "humaneval_js.jsonl.gz"
SAMPLE = [
    "nanoid@5.0.7",
    "semver@7.6.3",
    "picocolors@1.1.1",
    "lodash.merge@4.6.2",
    "kleur@4.1.5",
    "yargs-parser@21.1.1",
]
PACKAGES = [
    *SAMPLE,
    "acorn@8.14.0",
    "axios@1.7.9",
    "chalk@5.4.1",
    "commander@13.0.0",
    "d3@7.9.0",
    "date-fns@4.1.0",
    "ejs@3.1.10",
    "express@4.21.2",
    "fast-glob@3.3.3",
    "handlebars@4.7.8",
    "immutable@5.0.3",
    "lodash@4.17.21",
    "lodash-es@4.17.21",
    "marked@15.0.6",
    "mathjs@14.0.1",
    "moment@2.30.1",
    "prettier@3.4.2",
    "ramda@0.30.1",
    "rxjs@7.8.1",
    "terser@5.37.0",
    "typescript@5.7.3",
    "underscore@1.13.7",
    "uuid@11.0.5",
    "ws@8.18.0",
    "zod@3.24.1",
]
# The grammar's own gaps, each of which V8 is left to judge: nothing runs wrongly for it.
LARGEST = 400_000


def test_every_solution_of_humaneval_prints_the_same(oracle: Oracle) -> None:
    if not PROBLEMS.exists():
        unavailable("the HumanEval problems are not part of the project, and are not on this machine")
    problems = [json.loads(line) for line in gzip.decompress(PROBLEMS.read_bytes()).splitlines()]
    # One of them needs it.
    npm_install(oracle.folder, "js-md5")
    different = {}
    for problem in problems:
        code = problem["prompt"] + problem["canonical_solution"] + problem["test"]
        prepared = prepare_code(code)
        assert not prepared.has_errors
        first, second = oracle.plain(code, "cjs"), oracle.prepared(prepared, "cjs")
        if (first["out"], first["error"]) != (second["out"], second["error"]):
            different[problem["task_id"]] = first, second
    assert different == {}
    assert len(problems) == 164


def files_of(folder: Path, packages: list[str]) -> list[Path]:
    """Install packages and return their files of JavaScript."""
    kinds = {".js", ".mjs", ".cjs"}
    return sorted(file for file in npm_install(folder, *packages).rglob("*") if file.suffix in kinds and file.is_file())


def kind_of(oracle: Oracle, code: str) -> str | None:
    """Return as what a file runs: a module if it is no script, as Node.js finds out too."""
    for kind in ("cjs", "mjs"):
        if oracle.ask({"op": "parses", "kind": kind, "code": code})[0]["error"] is None:
            return kind
    return None


def check_files(oracle: Oracle, files: list[Path]) -> Counter[str]:
    """Compare what V8 thinks of each file, as it is and prepared."""
    seen: Counter[str] = Counter()
    wrong: dict[str, Any] = {}
    for file in files:
        code = file.read_text(encoding="utf-8", errors="replace")
        if len(code) > LARGEST:
            seen["excluded: larger than 400 KB"] += 1
            continue
        kind = kind_of(oracle, code)
        prepared = prepare_code(code)
        if kind is None:
            seen["excluded: V8 takes it neither as a script nor as a module (JSX, templates)"] += 1
            continue
        if prepared.has_errors:
            seen["the grammar sees an error: left to V8"] += 1
            print("grammar:", file)
            continue
        if kind == "cjs" and prepared.is_async and not prepared.is_module:
            wrong[str(file)] = "a script that waits"
        known = identifiers(code)
        answer = oracle.ask(
            {"op": "compiles", "prepared": wire(prepared), "candidates": known[:: max(1, len(known) // 40)]}
        )[0]
        # V8 does not call a block's function declared when it is only hoisted.
        missing = [name for name in answer["missing"] if f"function {name}" not in code or name not in prepared.vars]
        if answer["error"] or missing or answer["extra"]:
            wrong[str(file)] = answer
        seen[f"same, {'module' if kind == 'mjs' else 'script'}"] += 1
    assert wrong == {}
    return seen


def check_runs(files: list[Path], folder: Path) -> Counter[str]:
    """Run files as programs, as they are and prepared; compare output and exit code."""
    node = str(find_node(None).executable)
    seen: Counter[str] = Counter()
    wrong = {}
    for file in files:
        code = file.read_text(encoding="utf-8", errors="replace")
        prepared = prepare_code(code)
        if prepared.has_errors:
            seen["the grammar sees an error: left to V8"] += 1
            continue
        (folder / "prepared.json").write_text(json.dumps(wire(prepared)))
        if not prepared.is_module and is_module_by_its_package(file):
            seen["excluded: a module only by its package, which a text does not know"] += 1
            continue
        plain = run([node, str(file)], file.parent)
        if plain is None or "SyntaxError" in plain[1]:
            seen["excluded: does not run by itself"] += 1
            continue
        ours = run([node, "--no-warnings", str(SCRIPT), "run", str(file), str(folder / "prepared.json")], file.parent)
        if ours is None or (plain[0], plain[2]) != (ours[0], ours[2]) or last_line(plain[1]) != last_line(ours[1]):
            wrong[str(file)] = plain, ours
        seen[f"same, exit code {plain[2]}"] += 1
    assert wrong == {}
    return seen


def is_module_by_its_package(file: Path) -> bool:
    """Whether Node.js takes a file for a module because the nearest `package.json` says so."""
    about = next((folder / "package.json" for folder in file.parents if (folder / "package.json").exists()), None)
    return file.suffix == ".js" and about is not None and json.loads(about.read_text()).get("type") == "module"


def run(command: list[str], folder: Path) -> tuple[str, str, int] | None:
    environment = {**os.environ, "NODE_NO_WARNINGS": "1"}
    try:
        ended = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, env=environment
        )
    except subprocess.TimeoutExpired:
        return None
    return ended.stdout, ended.stderr, ended.returncode


def last_line(stderr: str) -> str:
    """Return the error that is told, without its stack, which names other places."""
    told = [line for line in stderr.splitlines() if line and not line.startswith((" ", "Node.js"))]
    return next((line for line in told if "Error" in line and ":" in line and "/" not in line), "")


def test_files_of_packages_compile_and_declare_the_same(oracle: Oracle, tmp_path: Path) -> None:
    files = files_of(tmp_path, SAMPLE)
    print(len(files), check_files(oracle, files[:: max(1, len(files) // 60)]))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_all_files_of_many_packages_compile_and_declare_the_same(oracle: Oracle, tmp_path: Path) -> None:
    files = files_of(tmp_path, PACKAGES)
    seen = check_files(oracle, files)
    print(len(files), seen)
    assert seen["same, script"] > 1000
    assert seen["same, module"] > 1000


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_files_of_packages_run_the_same(tmp_path: Path) -> None:
    files = files_of(tmp_path, PACKAGES)
    chosen = [file for file in files if file.stat().st_size < LARGEST][:: max(1, len(files) // 400)]
    seen = check_runs(chosen, tmp_path)
    print(len(chosen), seen)
    shutil.rmtree(tmp_path / "node_modules")
    assert seen["same, exit code 0"] > 200
