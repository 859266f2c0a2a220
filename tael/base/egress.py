"""Which network addresses a call may reach if a merchant chose its destination. Pure.

A merchant sets its webhook URL. Without a rule (SSRF) it could reach hosts that only we can reach, such as our
database, a cloud's metadata service or an office printer. `base/transport.py` checks each address before it connects.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

PORTS: Final = (80, 443)

#: The only IPv6 range allocated for public addresses.
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
#: An IPv4 address as an IPv6-only network reaches it; as public as the IPv4 address inside.
NAT64: Final = IPv6Network("64:ff9b::/96")
#: Not public, although `is_global` is true for them in some or all versions of the standard library.
NOT_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # Azure's host, reachable from its virtual machines
        "2001::/23",  # protocol assignments, Teredo among them: an address inside an address
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What such calls may reach. Loopback is for demos; ports other than 80 and 443 are a setting."""

    loopback: bool = False
    any_port: bool = False

    def allows(self, address: str, port: int) -> bool:
        """Whether a connection to this numeric address may be opened."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if port not in PORTS and not self.any_port:
            return False
        return is_public(parsed) or (self.loopback and parsed.is_loopback)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address belongs to the internet at large."""
    if isinstance(address, IPv6Address):
        if address in NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        # Excludes loopback, link-local, private, IPv4-mapped and unallocated addresses.
        if address not in GLOBAL_UNICAST:
            return False
    if any(address in network for network in NOT_PUBLIC if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
