"""Which addresses are out in the public, where whatever a stranger names may be asked for.

Everything else is somebody's own: this host, its network, the cloud's metadata. What Python's tables call
global is not enough: they do so for multicast, for addresses that carry another one inside, and for
services that clouds keep at public numbers.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Beside what is not global: IANA's special-purpose registries, and metadata at public numbers.
_NOT_FOR_US = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "192.0.0.0/24",  # protocol assignments; 192.0.0.192 is a cloud's metadata
        "192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24",  # AS112, AMT
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's wire server
        "240.0.0.0/4",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4: carries any IPv4 address
        "2620:4f:8000::/48",  # AS112
    )
)  # fmt: skip
#: All that IANA has given out to be reached from anywhere.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
#: IPv4 addresses in IPv6 ones that reach the host they name.
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def parse_address(text: str) -> Address:
    """An address as a resolver gives it.

    Raises:
        ValueError: it is none, or one of a link, with the name of an interface in it.
    """
    if "%" in text:
        raise ValueError("an address of one link")
    return ip_address(text)


def meant_by(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, NAT64), or the address itself."""
    if isinstance(address, IPv6Address) and any(address in carrier for carrier in _CARRIERS):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether it is a single host out in the public, for sure."""
    meant = meant_by(address)
    if any(meant in network for network in _NOT_FOR_US if network.version == meant.version):
        return False
    if isinstance(meant, IPv6Address) and meant not in _GLOBAL_UNICAST:
        return False
    return meant.is_global and not (meant.is_multicast or meant.is_reserved or meant.is_unspecified)
