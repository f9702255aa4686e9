"""URLs as Go reads them. The expectations are what Go's net/url answers."""

from __future__ import annotations

import pytest

from hyperkube_machinery.gourls import URL, URLError, parse_request_uri, parse_url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "HTTPS://user:p%40ss@example.com:80/a?k=v#f",
            URL(scheme="https", user="user:p%40ss", host="example.com:80", path="/a", query="k=v", fragment="f"),
        ),
        ("/path with spaces/", URL(path="/path%20with%20spaces/")),
        ("/a%2Fb", URL(path="/a%2Fb")),
        ("mailto:joe@example.com", URL(scheme="mailto", opaque="joe@example.com")),
        ("https://[fe80::1%25en0]:8080/", URL(scheme="https", host="[fe80::1%en0]:8080", path="/")),
        ("a/b:c", URL(path="a/b:c")),
        ("", URL()),
    ],
)
def test_a_url_falls_into_the_parts_that_go_finds(text: str, parts: URL) -> None:
    assert parse_url(text) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://a:b:c/", 'parse "https://a:b:c/": invalid port ":b:c" after host'),
        ("http://::1/", 'parse "http://::1/": invalid port "::1" after host'),
        ("http://[1.2.3.4]/", 'parse "http://[1.2.3.4]/": invalid IP-literal'),
        ("http://[abc]/", 'parse "http://[abc]/": invalid host: ParseAddr("abc"): unable to parse IP'),
        ("http://a[b]/", 'parse "http://a[b]/": invalid IP-literal'),
        ("http://[::1]x/", 'parse "http://[::1]x/": invalid port "x" after host'),
        ("http://[::1%en0]/", 'parse "http://[::1%en0]/": invalid URL escape "%en"'),
        ("http://u:p w@a/", 'parse "http://u:p w@a/": net/url: invalid userinfo'),
        ("../relative-path", 'parse "../relative-path": invalid URI for request'),
        ("", 'parse "": empty url'),
        (":x", 'parse ":x": missing protocol scheme'),
        ("/a\x7f", 'parse "/a\\x7f": net/url: invalid control character in URL'),
        ("/%zz", 'parse "/%zz": invalid URL escape "%zz"'),
        ("https://[::1", "parse \"https://[::1\": missing ']' in host"),
        ("http://a b/", 'parse "http://a b/": invalid character " " in host name'),
    ],
)
def test_what_is_no_absolute_url_is_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(URLError) as caught:
        parse_request_uri(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["*", "/absolute", "//host/as/path", "opaque:thing", "https://h/p?q#f"])
def test_absolute_urls_and_paths_are_what_requests_may_name(text: str) -> None:
    parse_request_uri(text)


@pytest.mark.parametrize(
    ("host", "hostname", "port"),
    [
        ("[::1]:80", "::1", "80"),
        ("[::1]", "::1", ""),
        ("example.com:", "example.com", ""),
        ("127.0.0.1", "127.0.0.1", ""),
        ("", "", ""),
    ],
)
def test_a_host_has_a_name_and_perhaps_a_port(host: str, hostname: str, port: str) -> None:
    url = URL(host=host)
    assert (url.hostname, url.port) == (hostname, port)


def test_parameters_that_cannot_be_read_are_left_out() -> None:
    url = parse_url("https://example.com/p?k1=a&k2=b+c&k2=%64&bad=%zz&semi;colon=1&&empty")
    assert url.parameters == {"k1": ["a"], "k2": ["b c", "d"], "empty": [""]}
