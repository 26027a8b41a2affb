"""The inspector page in a real Chromium: what it shows, and that nothing from a session runs in it."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from aca_node_interpreter.local import LocalPool
from tests.local.remote import LEGACY, NEWEST, Remote, unavailable

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAIAAAACUFjqAAAAEklEQVR4nGPQz1+GBzGMSuNBABLzZAFUkGT4AAAAAElFTkSuQmCC"
)
CHART = """fs.writeFileSync('/mnt/data/chart.svg', `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 40">
  <script>parent.hacked = true</script>${[8, 15, 22, 30, 26].map((h, i) =>
    `<rect x="${4 + i * 11}" y="${36 - h}" width="8" height="${h}" fill="#4a90d9"/>`).join('')}</svg>`);
fs.writeFileSync('/mnt/data/squares.csv', [1, 2, 3].map(n => `${n},${n * n}`).join('\\n'));
fs.mkdirSync('/mnt/data/results/deep', {recursive: true});
fs.writeFileSync('/mnt/data/results/deep/notes.txt', 'hello');
console.log('5 bars drawn');"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or another one on PATH."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        unavailable("there is no Chromium on PATH")
    with sync_playwright() as playwright:
        # Root's Chromium has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def watched(isolation: Any) -> Iterator[LocalPool]:
    """A pool that nobody else uses."""
    with LocalPool(isolation=isolation, cooldown=60, max_sessions=8) as pool:
        yield pool


@pytest.fixture
def session(watched: LocalPool) -> Iterator[Remote]:
    """A session of it."""
    headers = {"Authorization": f"Bearer {watched.token}"}
    with httpx.Client(base_url=watched.endpoint, headers=headers, timeout=60) as http:
        yield Remote(http, "sales-report-7f3a")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which an error, a broken rule or a failed request fails the test."""
    page = browser.new_page(viewport={"width": 1360, "height": 860})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert problems == []


def test_a_session_with_its_runs_and_files(watched: LocalPool, session: Remote, page: Page, tmp_path: Path) -> None:
    session.value("const total = [120, 80, 45].reduce((sum, n) => sum + n); total")
    session.run(CHART)
    session.upload("pixel.png", PNG)
    page.goto(watched.inspector)
    assert page.url == f"{watched.endpoint}/"
    expect(page.get_by_role("heading", name="sales-report-7f3a")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text(f"isolation {watched.isolation}")
    expect(page.locator("#facts")).to_contain_text("sessions 1 of 8")
    runs = page.locator("#runs > li")
    expect(runs).to_have_count(2)
    expect(runs.nth(0)).to_contain_text("5 bars drawn")
    expect(runs.nth(0)).to_contain_text("Succeeded")
    expect(runs.nth(1).locator("pre.value")).to_have_text("245")
    # New ones show up by themselves, by whichever call, failures too, and what is running.
    session.call("POST", "/code/execute", version=LEGACY, json={"properties": {"code": "missing()"}})
    expect(runs).to_have_count(3)
    expect(runs.nth(0)).to_contain_text("Failed")
    expect(runs.nth(0)).to_contain_text("ReferenceError: missing is not defined")
    expect(runs.nth(0)).to_contain_text("ms")
    body = {"code": "$$.async(); setTimeout($$.done, 2500)", "timeoutInSeconds": 9, "executionType": "Asynchronous"}
    session.call("POST", "/executions", version=NEWEST, json=body)
    expect(runs.nth(0)).to_contain_text("Running")
    expect(runs.nth(0)).to_contain_text("Succeeded", timeout=8000)
    # Pictures really are pictures.
    pictures = page.locator("#files img")
    expect(pictures).to_have_count(2)
    for index in range(2):
        pictures.nth(index).evaluate("image => image.decode()")
        assert pictures.nth(index).evaluate("image => image.naturalWidth") > 0
    session.run(f"$$.png('{base64.b64encode(PNG).decode()}')")
    value = runs.nth(0).locator("img")
    value.evaluate("image => image.decode()")
    assert value.evaluate("image => image.naturalWidth") == 10
    assert page.evaluate("window.hacked") is None
    # Folders can be looked into.
    page.get_by_role("button", name="results/").click()
    page.get_by_role("button", name="deep/").click()
    expect(page.locator("#files")).to_contain_text("notes.txt")
    page.get_by_role("button", name="/mnt/data").click()
    expect(page.locator("#files")).to_contain_text("squares.csv")
    for scheme in ("light", "dark"):
        take(page, tmp_path / f"wide-{scheme}.png", scheme)
        page.set_viewport_size({"width": 360, "height": 780})
        take(page, tmp_path / f"narrow-{scheme}.png", scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.set_viewport_size({"width": 1360, "height": 860})


def take(page: Page, file: Path, scheme: Literal["light", "dark"] | str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.screenshot(path=file)
    assert file.stat().st_size > 10_000


def test_an_empty_pool_says_how_to_begin(watched: LocalPool, page: Page, tmp_path: Path) -> None:
    page.goto(watched.inspector)
    expect(page.locator("#no-sessions")).to_contain_text(f"curl '{watched.endpoint}/code/execute")
    assert watched.token not in page.content()
    take(page, tmp_path / "empty.png", "light")


def test_files_are_downloaded_and_deleted(watched: LocalPool, session: Remote, page: Page, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    session.upload("data.bin", content)
    page.goto(watched.inspector)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download data.bin").click()
    assert download.value.suggested_filename == "data.bin"
    download.value.save_as(tmp_path / "data.bin")
    assert (tmp_path / "data.bin").read_bytes() == content
    page.get_by_role("button", name="Delete data.bin").click()
    page.get_by_role("button", name="Keep").click()
    assert session.names() == ["data.bin"]
    page.get_by_role("button", name="Delete data.bin").click()
    page.locator("#yes").click()
    expect(page.locator("#no-files")).to_be_visible()
    assert session.names() == []


def test_a_session_is_stopped(watched: LocalPool, session: Remote, page: Page, tmp_path: Path) -> None:
    session.value("1")
    page.goto(watched.inspector)
    page.get_by_role("button", name="Stop session").click()
    take(page, tmp_path / "sure.png", "light")
    page.locator("#yes").click()
    expect(page.locator("#no-sessions")).to_be_visible()
    assert session.call("GET", "/session", version=NEWEST).status_code == 404


@pytest.mark.filterwarnings("ignore")
def test_the_token_is_asked_for(browser: Browser, watched: LocalPool, session: Remote, tmp_path: Path) -> None:
    session.value("1")
    page = browser.new_page()
    page.goto(watched.endpoint)
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.locator("#pool")).to_be_hidden()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("alert")).to_have_text("The pool does not know this token.")
    take(page, tmp_path / "token.png", "dark")
    page.get_by_label("Token").fill(watched.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="sales-report-7f3a")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="sales-report-7f3a")).to_be_visible()
    page.close()


HOSTILE = '</pre><img src=x onerror="window.hacked=1"><script>window.hacked=2</script>\u202egnp.exe'


def test_nothing_from_a_session_runs(watched: LocalPool, session: Remote, page: Page) -> None:
    session.run(f"console.log({HOSTILE!r}); console.error({HOSTILE!r}); {HOSTILE!r}")
    session.run("console.log('x'.repeat(1_000_000))")
    session.run("fs.writeFileSync('/mnt/data/<img src=x onerror=hacked=3>.png', '<script>window.hacked=4</script>')")
    session.run("$$.png('no picture')")
    page.goto(watched.inspector)
    runs = page.locator("#runs > li")
    expect(runs).to_have_count(4)
    expect(page.locator("#files")).to_contain_text("<img src=x onerror=hacked=3>.png")
    expect(runs.nth(3)).to_contain_text("<script>window.hacked=2</script>")
    assert runs.nth(3).locator("img, script").count() == 0
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None
    output = runs.nth(2).locator("pre.stdout")
    assert len(output.inner_text()) < 5000
    runs.nth(2).get_by_role("button", name="more characters").click()
    assert len(output.inner_text()) > 90_000


def test_looking_keeps_no_session_alive(page: Page, isolation: Any) -> None:
    with LocalPool(isolation=isolation, cooldown=3) as pool:
        headers = {"Authorization": f"Bearer {pool.token}"}
        with httpx.Client(base_url=pool.endpoint, headers=headers, timeout=60) as http:
            session = Remote(http, "short-lived")
            session.upload("a.txt", b"a")
            page.goto(pool.inspector)
            expect(page.locator("#files")).to_contain_text("a.txt")
            started = time.monotonic()
            expect(page.locator("#no-sessions")).to_be_visible(timeout=10_000)
            assert time.monotonic() - started < 6
            assert session.call("GET", "/session", version=NEWEST).status_code == 404
            page.goto("about:blank")


def test_the_page_is_bound_by_its_own_rules(watched: LocalPool, session: Remote) -> None:
    with httpx.Client(base_url=watched.endpoint) as stranger:
        for path in ("/", "/inspector.js", "/inspector.css", "/inspector.svg"):
            answer = stranger.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            assert watched.token not in answer.text
        assert stranger.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert stranger.get("/", headers={"Origin": "http://evil.example"}).status_code == 403
        for path in ("pool", "runs", "files", "content"):
            assert stranger.get(f"/.inspector/{path}?identifier=sales-report-7f3a").status_code == 401
    assert session.http.get("/.inspector/runs?identifier=nobody-has-it").status_code == 404
    assert session.http.get("/.inspector/nothing?identifier=nobody-has-it").status_code == 404
    session.value("fs.symlinkSync('/etc/passwd', '/mnt/data/link')")
    for name in ("link", "../data", "", "a/b"):
        params = {"identifier": session.identifier, "name": name}
        assert session.http.get("/.inspector/content", params=params).status_code == 404, name
