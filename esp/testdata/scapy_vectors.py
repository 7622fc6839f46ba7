#!/usr/bin/env python3
"""Writes scapy.json: ESP packets made by scapy's IPsec layer, an implementation that shares nothing with this one.
   Run: python3 scapy_vectors.py > scapy.json      (needs scapy 2.5 and python3-cryptography)"""
import json
import logging
import struct

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

CIPHERS = {"aes128gcm16": ("AES-GCM", 20), "aes192gcm16": ("AES-GCM", 28), "aes256gcm16": ("AES-GCM", 36),
           "chacha20poly1305": ("CHACHA20-POLY1305", 36)}
SEQS = [(1, False), (0xFFFFFFFF, False), (1, True), (0xFFFFFFFF, True), (0x100000002, True), (0x123456789ABCDEF, True)]
INNERS = [IP(src="10.1.0.1", dst="10.2.0.1", id=7) / ICMP(id=1, seq=1) / Raw(b"x" * 56),
          IP(src="10.1.0.1", dst="10.2.0.1", id=8, tos=0xB8) / UDP(sport=1, dport=2) / Raw(b"a"),
          IPv6(src="2001:db8:1::1", dst="2001:db8:2::1") / ICMPv6EchoRequest(id=1, seq=1, data=b"yz"),
          IPv6(src="2001:db8:1::1", dst="2001:db8:2::1") / TCP(sport=1, dport=2) / Raw(bytes(range(256)) * 5)]
OUTERS = [IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")]

vectors = []
for name, (crypt, keylen) in CIPHERS.items():
    for i, (seq, esn) in enumerate(SEQS):
        inner, outer = INNERS[i % len(INNERS)], OUTERS[i % len(OUTERS)]
        key = bytes((17 * i + 3 * j + keylen) & 255 for j in range(keylen))
        spi = 0xC0FFEE00 + i
        sa = SecurityAssociation(ESP, spi=spi, crypt_algo=crypt, crypt_key=key, auth_algo="NULL", auth_key=None,
                                 tunnel_header=outer, esn_en=esn, esn=seq >> 32)
        out = sa.encrypt(inner, seq_num=seq & 0xFFFFFFFF, iv=struct.pack("!Q", seq), esn_en=esn, esn=seq >> 32)
        vectors.append({"cipher": name, "key": key.hex(), "spi": spi, "seq": "%d" % seq, "esn": esn,
                        "inner": bytes(inner).hex(), "esp": bytes(out[ESP]).hex()})
print("[\n" + ",\n".join(json.dumps(v) for v in vectors) + "\n]")
