from __future__ import annotations

import pytest

from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.rest.endpoint import Endpoint, checked_identifier, new_identifier

POOL = "/subscriptions/s/resourceGroups/g/sessionPools/p"


@pytest.mark.parametrize("host", ["eastasia.dynamicsessions.io", "eastasia.acasessions.io"])
@pytest.mark.parametrize(
    "shape",
    ["https://{}", "https://{}/", " https://{} ", '"https://{}"', "https://{}/code/execute", "https://{}/files/upload"],
)
def test_every_shape_that_users_paste_means_the_same_pool(host: str, shape: str) -> None:
    endpoint = Endpoint.parse(shape.format(host + POOL))
    assert endpoint == Endpoint(f"https://{host}{POOL}", is_loopback=False)


def test_a_resource_group_may_be_called_like_a_call() -> None:
    url = "https://eastasia.dynamicsessions.io//subscriptions/s/resourceGroups/files/sessionPools/executions"
    assert Endpoint.parse(url).url == url.replace("//sub", "/sub")


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080"])
def test_a_loopback_endpoint_needs_no_path_and_no_https(url: str) -> None:
    assert Endpoint.parse(url) == Endpoint(url.rstrip("/"), is_loopback=True)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:///run/user/1000/aca.sock", "/run/user/1000/aca.sock"),
        (" UNIX:/run/aca.sock ", "/run/aca.sock"),
        ("unix:///a%20b%3F/%C3%A4%FF", "/a b?/ä\udcff"),
    ],
)
def test_a_unix_socket_is_an_endpoint_of_this_machine(text: str, path: str) -> None:
    assert Endpoint.parse(text) == Endpoint("http://localhost", is_loopback=True, socket=path)


@pytest.mark.parametrize("text", ["unix://", "unix:aca.sock", "unix://run/aca.sock", "unix:///a?b", "unix:///a%00b"])
def test_a_wrong_unix_socket_gets_told_how_it_is_written(text: str) -> None:
    with pytest.raises(ConfigurationError, match="written as unix:///PATH"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no https URL"),
        ("eastasia.dynamicsessions.io" + POOL, "no https URL"),
        (POOL, "ARM resource id"),
        ("https://management.azure.com" + POOL + "?api-version=1", "management API"),
        ("https://portal.azure.com/#@me/resource" + POOL, "Azure portal"),
        ("https://eastasia.dynamicsessions.io" + POOL + "?api-version=1", "before the '?'"),
        ("https://eastasia.dynamicsessions.io", "does not name a session pool"),
        ("http://eastasia.dynamicsessions.io" + POOL, "use https"),
        ("http://127.0.0.1.example.com", "use https"),
        ("https://me:pw@eastasia.dynamicsessions.io" + POOL, "user name"),
        ("https://[::1", "no URL"),
        ("https://host:99999999" + POOL, "no URL"),
    ],
)
def test_a_wrong_endpoint_gets_told_what_to_paste_instead(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match="Paste the pool's management endpoint") as caught:
        Endpoint.parse(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "identifier", ["abcd", "a" * 128, "my-session", "a|b-c&d^e%f$g#h(i){j}[k];<l>", "user@host:1/2"]
)
def test_documented_identifiers_are_taken(identifier: str) -> None:
    assert checked_identifier(identifier) == identifier


@pytest.mark.parametrize(
    "identifier", ["", "abc", "a" * 129, "with space", "naïve", "line\nbreak", "back\\slash", "abcd\n"]
)
def test_other_identifiers_are_refused_and_not_repeated(identifier: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked_identifier(identifier)
    assert len(identifier) < 5 or identifier not in str(caught.value)


def test_generated_identifiers_are_valid_and_differ() -> None:
    made = {checked_identifier(new_identifier()) for _ in range(100)}
    assert len(made) == 100
