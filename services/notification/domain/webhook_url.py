"""Where a webhook may point: never into our own network.

Rule    https, a host, no credentials, no fragment; and every address the host resolves to is a
        public one. The check is made again at every delivery, on the very address that is then
        connected to, for a name may point elsewhere tomorrow.
"""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from services.kernel.domain.errors import Invalid

MAX_URL = 2000
_NAME = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
# All that is assigned to the open internet so far; much beside it is not called private either.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_DOCUMENTATION = IPv6Network("3fff::/20")


def checked_url(url: str, *, allow_private: bool) -> str:
    """Return ``url`` if a webhook may have it.

    Raises:
        Invalid: It may not, and why.
    """
    field = "url"
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid((field, f"must be at most {MAX_URL} printable ASCII characters, no space"))
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid((field, "is not a URL")) from error
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise Invalid(
            (field, "must begin with https:// (http only where private webhooks are allowed)")
        )
    if not host or port == 0 or not (_is_address(host) or _NAME.fullmatch(host)):
        raise Invalid((field, "must name a host"))
    if "@" in parts.netloc:
        raise Invalid((field, "must hold no user name or password"))
    if parts.fragment:
        raise Invalid((field, "must have no fragment"))
    if not allow_private and _is_private_name(host):
        raise Invalid((field, "must point to a public host"))
    return url


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_private_name(host: str) -> bool:
    if _is_address(host):
        return not is_public(host)
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith((".localhost", ".local", ".internal"))


def is_public(address: str) -> bool:
    """Tell an address of the open internet from a private, local or special one.

    An IPv4 address that hides in an IPv6 one (mapped, 6to4, Teredo, NAT64) counts as itself.

    >>> is_public("93.184.215.14"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)

    Raises:
        ValueError: It is no address.
    """
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        hidden = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo or (None, None))[1]
        if hidden is not None:
            return is_public(str(hidden))
        if parsed.packed[:12] == bytes.fromhex("0064ff9b0000000000000000"):
            return is_public(str(ip_address(parsed.packed[12:])))
        if parsed not in _GLOBAL_UNICAST or parsed in _DOCUMENTATION:
            return False
    return parsed.is_global and not parsed.is_multicast
