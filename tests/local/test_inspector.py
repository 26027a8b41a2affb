"""The inspector page in real Chromium: what it shows, what it does, and that nothing hostile runs in it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from aca_node_interpreter.local import LocalPool
from aca_node_interpreter.local.executions import MAX_CHARACTERS, MAX_EXECUTIONS, Execution, Executions
from aca_node_interpreter.local.results import Result
from tests.local.remote import LEGACY, NEWEST, Remote, http_client

expect.set_options(timeout=8000)

# A 2 by 2 picture that code in a session makes without packages.
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEUlEQVR42mP4z8DwHwyBNBgAN+8I+K3TYgUAAAAASUVORK5CYII="
HOSTILE = "<img src=x onerror='window.hacked=1'></script><script>window.hacked=1</script>\u202egpj.exe"
HOSTILE_CODE = json.dumps(HOSTILE, ensure_ascii=False)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def pool(isolation: Literal["bubblewrap", "none"]) -> Iterator[LocalPool]:
    """A pool without other tests' sessions."""
    with LocalPool(isolation=isolation, max_sessions=7) as pool:
        yield pool


@pytest.fixture
def http(pool: LocalPool) -> Iterator[httpx.Client]:
    with http_client(pool) as http:
        yield http
        for session in http.get("/.inspector/pool").json()["sessions"]:
            Remote(http, session["identifier"]).call("DELETE", "/session", version=NEWEST)


@pytest.fixture
def remote(http: httpx.Client) -> Remote:
    return Remote(http, "my-session")


@pytest.fixture
def open_page(browser: Browser, pool: LocalPool) -> Iterator[OpenPage]:
    """Open the page; whatever the browser complains about fails the test, unless the test says that it must."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        address: str = "",
        *,
        size: tuple[int, int] = (1280, 800),
        scheme: Literal["light", "dark"] = "light",
        expected: str = "",
    ) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()

        def complain(words: str) -> None:
            if not expected or expected not in words:
                complaints.append(words)

        page.on("console", lambda message: complain(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complain(f"error: {error}"))
        page.on("dialog", lambda dialog: complain(f"dialog: {dialog.message}"))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('csp', e.violatedDirective, e.blockedURI))"
        )
        page.goto(address or pool.inspector)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.hacked") is None
        context.close()
    assert complaints == []


def run_card(page: Page, number: int) -> Locator:
    return page.locator("#runs > li").filter(has=page.get_by_text(f"Run {number}", exact=True))


def test_the_page_needs_no_token_and_holds_nothing(pool: LocalPool) -> None:
    for path in ("/", "/.inspector/inspector.js", "/.inspector/inspector.css", "/.inspector/icon.svg"):
        answer = httpx.get(pool.endpoint + path)
        assert answer.status_code == 200, path
        assert pool.token not in answer.text
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        headers = {
            name: answer.headers[name] for name in ("x-content-type-options", "referrer-policy", "cache-control")
        }
        assert list(headers.values()) == ["nosniff", "no-referrer", "no-store"]
    page = httpx.get(pool.endpoint + "/").text
    assert re.search(r"\sstyle=|<style|\son\w+=|<script(?! type=\"module\" src=)|https?://", page) is None


def test_everything_else_needs_the_token_and_a_local_origin(pool: LocalPool) -> None:
    for path in ("pool", "runs", "runs/1", "files", "files/x/content", "nothing"):
        assert httpx.get(f"{pool.endpoint}/.inspector/{path}").status_code == 401, path
    assert httpx.delete(f"{pool.endpoint}/.inspector/files/x").status_code == 401
    for headers in ({"host": "pool.example"}, {"origin": "https://page.example"}):
        for path in ("/", "/.inspector/inspector.js", "/.inspector/pool"):
            headers["authorization"] = f"Bearer {pool.token}"
            assert httpx.get(pool.endpoint + path, headers=headers).status_code == 403, (path, headers)


def test_the_token_comes_by_the_fragment_and_goes_from_the_address(pool: LocalPool, open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#fact-sessions")).to_have_text("0 of 7")
    assert page.url == f"{pool.endpoint}/"
    page.reload()
    expect(page.locator("#fact-isolation")).to_have_text(pool.isolation)
    expect(page.locator("#fact-node")).to_have_text(pool.node_version)
    expect(page.get_by_role("heading", name="No session is alive")).to_be_visible()
    assert pool.token not in page.locator("body").inner_text()
    page.get_by_role("button", name="Show the token").click()
    expect(page.locator("#first-code")).to_contain_text(pool.token)


def test_a_missing_or_wrong_token_is_asked_for(pool: LocalPool, open_page: OpenPage) -> None:
    page = open_page(f"{pool.endpoint}/#token=wrong", expected="401")
    expect(page.get_by_text("The pool did not accept this token.")).to_be_visible()
    assert page.url == f"{pool.endpoint}/"
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    for given in (pool.token, pool.inspector):
        field.fill(given)
        page.keyboard.press("Enter")
        expect(page.locator("#fact-sessions")).to_have_text("0 of 7")
        page.evaluate("sessionStorage.clear()")
        page.reload()


def test_runs_of_both_families_appear_by_themselves(remote: Remote, open_page: OpenPage) -> None:
    page = open_page()
    expect(page.get_by_role("heading", name="No session is alive")).to_be_visible()
    legacy = {"properties": {"code": "console.log('the older family'); 6 * 7"}}
    assert remote.call("POST", "/code/execute", version=LEGACY, json=legacy).status_code == 200
    expect(page.locator("#session-name")).to_have_text("my-session")
    expect(page.locator("#fact-sessions")).to_have_text("1 of 7")
    first = run_card(page, 1)
    expect(first.locator(".code")).to_have_text("console.log('the older family'); 6 * 7")
    expect(first.locator(".stdout")).to_have_text("the older family\n")
    expect(first.locator(".value")).to_have_text("42")
    expect(first.locator(".badge")).to_have_text("Succeeded")
    expect(first.locator(".timing")).to_have_text(re.compile(r"^\d+ ms · \d"))

    remote.run("null.x")
    expect(run_card(page, 2).locator(".badge")).to_have_text("Failed")
    expect(run_card(page, 2).locator(".stderr")).to_contain_text("TypeError: Cannot read properties of null")

    code = "$$.async(); setTimeout(() => $$.done('late'), 5000)"
    thread = threading.Thread(target=remote.run, args=(code,))
    thread.start()
    expect(run_card(page, 3).locator(".badge")).to_have_text("Running")
    remote.call(
        "POST", "/executions", version=NEWEST, json={"code": "'queued'", "executionType": "Asynchronous"}
    ).raise_for_status()
    running, waiting = run_card(page, 3).locator(".badge"), run_card(page, 4).locator(".badge")
    expect(page.locator("#runs .badge")).to_have_text(["Waiting", "Running", "Failed", "Succeeded"])
    expect(page.locator("#sessions .quiet")).to_have_text("running")
    expect(running).to_have_text("Succeeded")
    expect(waiting).to_have_text("Succeeded")
    thread.join()
    assert page.locator("#runs .number").all_inner_texts() == ["Run 4", "Run 3", "Run 2", "Run 1"]


def test_pictures_are_decoded(remote: Remote, open_page: OpenPage) -> None:
    remote.run(f"$$.png('{PIXELS}')")
    remote.value(f"fs.writeFileSync('/mnt/data/dots.png', Buffer.from('{PIXELS}', 'base64'))")
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="5" onload="window.hacked=1"><script>window.hacked=1'
    )
    remote.value(f"fs.writeFileSync('/mnt/data/drawing.svg', {json.dumps(svg + '</script></svg>')})")
    remote.value("fs.writeFileSync('/mnt/data/not-one.png', 'text')")
    page = open_page()
    for selector, width in (
        (".value-image", 2),
        ("[aria-label='Look at dots.png'] img", 2),
        ("[aria-label$=svg] img", 9),
    ):
        picture = page.locator(selector)
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == width
    expect(page.locator("#files > li")).to_have_count(3)
    expect(page.get_by_role("button", name="Look at not-one.png")).to_have_count(0)
    page.get_by_role("button", name="Look at drawing.svg").click()
    expect(page.locator("#viewer-image")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer-image")).to_be_hidden()


def test_what_is_hostile_is_text(remote: Remote, open_page: OpenPage) -> None:
    shown = HOSTILE.replace("\u202e", "⟨U+202E⟩")
    names = [HOSTILE.replace("/", "_"), "..%2f..%2fetc", "javascript:alert(1).png", "line\nbreak"]
    remote.value(f"for (const name of {json.dumps(names)}) fs.writeFileSync('/mnt/data/' + name, 'x')")
    remote.run(f"console.log({HOSTILE_CODE}); console.error({HOSTILE_CODE}); {HOSTILE_CODE}")
    hostile = Remote(remote.http, "<img/src=x/onerror=alert(1)>")
    hostile.value("1")
    page = open_page()
    page.locator("#sessions").get_by_text("my-session").click()
    card = run_card(page, 2)
    for part in (".code", ".stdout", ".stderr", ".value"):
        expect(card.locator(part)).to_contain_text("<script>window.hacked=1</script>⟨U+202E⟩gpj.exe")
    expect(card.locator(".stdout")).to_have_text(f"{shown}\n")
    expected = [names[0].replace("\u202e", "⟨U+202E⟩"), names[1], names[2], "line␣break"]
    expect(page.locator("#files .name")).to_have_count(4)
    assert sorted(page.locator("#files .name").all_inner_texts()) == sorted(expected)
    expect(page.locator("#sessions .name").first).to_have_text(hostile.identifier)
    page.locator("#sessions .session-entry").first.click()
    expect(page.locator("#session-name")).to_have_text(hostile.identifier)
    assert page.locator("main img, main script").count() == 0


def test_much_output_is_cut_on_screen_and_can_be_had(remote: Remote, open_page: OpenPage) -> None:
    remote.run("process.stdout.write('0123456789'.repeat(100_000))")
    page = open_page()
    block = run_card(page, 1).locator(".stdout")
    expect(block).to_be_visible()
    assert len(block.inner_text()) == 16_000
    expect(page.get_by_text("16,000 of 1,000,000 characters")).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_text("116,000 of 1,000,000 characters")).to_be_visible()
    assert len(block.inner_text()) == 116_000
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all").click()
    assert download.value.suggested_filename == "run-1-stdout.txt"
    assert Path(download.value.path()).read_text() == "0123456789" * 100_000


def test_files_can_be_browsed_downloaded_and_deleted(remote: Remote, open_page: OpenPage) -> None:
    content = bytes(range(256)) * 40
    remote.value(
        "fs.mkdirSync('/mnt/data/v1.2/deep', { recursive: true });"
        "process.chdir('/mnt/data/v1.2/deep');"
        "fs.writeFileSync('a&b #1.bin', Buffer.concat(Array(40).fill(Buffer.from([...Array(256).keys()]))));"
        "fs.writeFileSync('/mnt/data/.hidden?\"*.html', 'x')"
    )
    page = open_page()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download .hidden").click()
    assert download.value.suggested_filename == "hidden___.html"
    page.get_by_role("button", name="Open folder v1.2").click()
    page.get_by_role("button", name="Open folder deep").click()
    expect(page.locator("#files .file-about .quiet")).to_have_text(re.compile(r"^10 kB · \d"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download a&b #1.bin").click()
    assert Path(download.value.path()).read_bytes() == content

    delete = page.get_by_role("button", name="Delete a&b #1.bin")
    delete.click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#confirm")).to_be_hidden()
    assert remote.value("fs.readdirSync('/mnt/data/v1.2/deep').length") == "1"
    delete.click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This folder is empty.")).to_be_visible()
    assert remote.value("fs.readdirSync('/mnt/data/v1.2/deep').length") == "0"
    remote.value("fs.rmSync('/mnt/data/v1.2', { recursive: true })")
    page.get_by_role("button", name="/mnt/data").click()
    expect(page.locator("#files > li")).to_have_count(1)


def test_a_session_can_be_stopped(remote: Remote, open_page: OpenPage) -> None:
    remote.value("1")
    page = open_page()
    page.get_by_role("button", name="Stop session").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#session-name")).to_have_text("my-session")
    page.get_by_role("button", name="Stop session").press("Enter")
    page.locator("#confirm").get_by_role("button", name="Stop session").click()
    expect(page.get_by_role("heading", name="No session is alive")).to_be_visible()
    assert remote.call("GET", "/session", version=NEWEST).status_code == 404


def test_a_successor_of_the_same_identifier_is_another_session(remote: Remote, open_page: OpenPage) -> None:
    remote.value("'first session'")
    page = open_page()
    expect(run_card(page, 1).locator(".value")).to_have_text("'first session'")
    remote.call("DELETE", "/session", version=NEWEST).raise_for_status()
    remote.value("'second session'")
    expect(run_card(page, 1).locator(".value")).to_have_text("'second session'")


def test_looking_keeps_no_session_alive_and_makes_none(
    isolation: Literal["bubblewrap", "none"], open_page: OpenPage
) -> None:
    with LocalPool(isolation=isolation, cooldown=3) as pool:
        with http_client(pool) as http:
            remote = Remote(http, "my-session")
            remote.value("fs.writeFileSync('/mnt/data/a.txt', 'a')")
            began = time.monotonic()
            # A file that is asked for when its session has just ended is one that can't be found.
            page = open_page(pool.inspector, expected="404")
            expect(page.locator("#files > li")).to_have_count(1)
            expect(page.get_by_role("heading", name="No session is alive")).to_be_visible()
            assert time.monotonic() - began < 6
            for path in ("runs", "runs/1", "files", "files/a.txt/content"):
                assert remote.call("GET", f"/.inspector/{path}", version=NEWEST).status_code == 404, path
            assert remote.call("DELETE", "/.inspector/files/a.txt", version=NEWEST).status_code == 404
            assert http.get("/.inspector/pool").json()["sessions"] == []


def test_updates_move_nothing(remote: Remote, open_page: OpenPage) -> None:
    for number in range(12):
        remote.value(f"'{number} ' + 'text '.repeat(400)")
    page = open_page(size=(1280, 600))
    card = run_card(page, 4)
    expect(card.locator(".value")).to_be_visible()
    expect(run_card(page, 1).locator(".value")).to_be_visible()
    stop = page.get_by_role("button", name="Stop session")
    stop.focus()
    card.scroll_into_view_if_needed()
    card.locator(".code").evaluate("element => getSelection().selectAllChildren(element)")

    def top() -> int:
        box = card.bounding_box()
        assert box is not None
        return round(box["y"])

    before = top()
    remote.value("'new'")
    expect(run_card(page, 13).locator(".value")).to_have_text("'new'")
    assert abs(top() - before) <= 1
    assert page.evaluate("String(getSelection())").startswith("'3 '")
    expect(stop).to_be_focused()


def test_a_hidden_page_asks_nothing(http: httpx.Client, open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#fact-sessions")).to_have_text("0 of 7")
    asked: list[str] = []
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { configurable: true, value: true });"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(200)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert asked == []
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(200)
    assert len(asked) == 1


def test_a_pool_that_stopped_is_told(isolation: Literal["bubblewrap", "none"], open_page: OpenPage) -> None:
    with LocalPool(isolation=isolation) as pool:
        page = open_page(pool.inspector, expected="ERR_CONNECTION_REFUSED")
        expect(page.locator("#fact-sessions")).to_have_text("0 of 64")
    expect(page.locator("#problem")).to_contain_text("The pool does not answer.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screens(remote: Remote, open_page: OpenPage, tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    page = open_page(scheme=scheme)

    def look(name: str, widths: tuple[int, ...] = (360, 820, 1440)) -> None:
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png")
            assert page.evaluate("document.documentElement.scrollWidth") == width, name

    expect(page.get_by_role("heading", name="No session is alive")).to_be_visible()
    look("empty")
    Remote(remote.http, "a" * 128).value("1")
    remote.run(f"console.log('{'x' * 500}'); $$.png('{PIXELS}')")
    remote.run(f"fs.writeFileSync('/mnt/data/{'long' * 40}.csv', 'a,b'); throw new Error('on purpose')")
    page.locator("#sessions").get_by_text("my-session").click()
    expect(run_card(page, 2).locator(".stderr")).to_be_visible()
    expect(page.locator("#files > li").first).to_be_visible()
    look("full")
    page.set_viewport_size({"width": 360, "height": 900})
    page.locator("#view-files").click()
    expect(page.locator("#files > li").first).to_be_visible()
    look("files", widths=(360, 820))
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_light = sum(map(int, re.findall(r"\d+", background))) > 3 * 128
    assert is_light is (scheme == "light")


def test_executions_are_bounded_in_number_and_characters() -> None:
    def result(characters: int) -> Result:
        return Result(succeeded=True, stdout="x" * characters, stderr="", value="", milliseconds=1)

    executions = Executions()
    waiting = Execution("first")
    executions.add(waiting)
    for _ in range(MAX_EXECUTIONS + 5):
        execution = Execution("code", name="again")
        executions.add(execution)
        executions.finish(execution, result(10))
    assert len(list(executions)) == MAX_EXECUTIONS
    assert next(iter(executions)) is waiting
    assert executions.find("again") is execution

    large = [Execution("code", name=f"large-{number}") for number in range(3)]
    for execution in large:
        executions.add(execution)
        executions.finish(execution, result(MAX_CHARACTERS // 2))
    assert [execution.name for execution in executions] == ["", "large-2"]
    assert executions.find("large-1") is None
    assert executions.find("again") is None
    # What was forgotten is not counted any more.
    for _ in range(5):
        execution = Execution("code")
        executions.add(execution)
        executions.finish(execution, result(10))
    assert len(list(executions)) == 7
