"""Addresses that a merchant's url may have: public ones, and none that only we can policy."""

import pytest

from tael.base.egress import EgressPolicy

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "47.88.1.2",
    "203.0.114.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::8",
    "64:ff9b::808:808",  # 8.8.8.8 for a network without IPv4
]
INTERNAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",  # a cloud's metadata
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # a cloud provider's host service
    "169.254.169.254",  # a cloud's metadata
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # a cloud's metadata
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "not an address",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("port", [80, 443])
def test_public_addresses_may_be_called(address: str, port: int) -> None:
    assert EgressPolicy().allows(address, port)


@pytest.mark.parametrize("address", INTERNAL)
@pytest.mark.parametrize("policy", [EgressPolicy(), EgressPolicy(any_port=True)])
def test_an_internal_address_may_not_be_called(address: str, policy: EgressPolicy) -> None:
    assert not policy.allows(address, 80)


@pytest.mark.parametrize("port", [0, 22, 81, 5432, 8000, 65535])
def test_other_ports_are_a_setting(port: int) -> None:
    assert not EgressPolicy().allows("8.8.8.8", port)
    assert EgressPolicy(any_port=True).allows("8.8.8.8", port)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_is_for_demos(address: str) -> None:
    assert EgressPolicy(loopback=True).allows(address, 80)
    assert not EgressPolicy(loopback=True).allows(address, 8080)
    assert EgressPolicy(loopback=True, any_port=True).allows(address, 8080)


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0"]
)
def test_a_demo_may_call_loopback_and_no_other_internal_address(address: str) -> None:
    assert not EgressPolicy(loopback=True, any_port=True).allows(address, 80)
