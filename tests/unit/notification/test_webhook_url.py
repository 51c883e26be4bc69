"""A webhook never points into our own network."""

import pytest

from services.kernel.domain.errors import Invalid
from services.notification.domain.webhook_url import checked_url, is_public


@pytest.mark.parametrize(
    "url",
    [
        *("https://shop.example/hook", "https://shop.example:8443/a?b=c", "https://8.8.8.8/x"),
        *("https://xn--fa-hia.example/", "https://SHOP_1.example./"),
        "https://[2606:4700::1]:8443/",
    ],
)
def test_a_public_https_url_is_taken(url: str) -> None:
    assert checked_url(url, allow_private=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example/hook",
        "http://shop.example/hook",
        "ftp://shop.example",
        "https://",
        "https://user:word@shop.example/",
        "https://shop.example/#part",
        "https://shop.example/a b",
        "https://shop.example/\r\nx: y",
        "https://shop.example:99999/",
        "https://[::1",
        "https://localhost/",
        "https://db.internal/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://shop.example/" + "x" * 2000,
        "https://" + "a" * 64 + ".example/",
        "https://" + ".".join(["a" * 60] * 5) + "/",
        "https://shop..example/",
        "https://.example/",
        "https://shop%2eexample/",
        "https://shop,example/",
    ],
)
def test_any_other_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        checked_url(url, allow_private=False)


def test_development_may_point_at_itself() -> None:
    url = "http://127.0.0.1:9000/hook"
    assert checked_url(url, allow_private=True) == url


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1"),  # noqa: S104
        *("169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255"),
        *("::", "::1", "fc00::1", "fe80::1", "fe80::1%eth0", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1"),
        *("::7f00:1", "::ffff:0:7f00:1", "64:ff9b:1::a00:1", "fec0::1", "5f00::1", "3fff::1"),
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)
