#!/usr/bin/env python3
"""Writes scapy.json: ESP packets made by scapy's IPsec layer, an implementation that shares nothing with this one.
   Run: python3 scapy_vectors.py > scapy.json      (needs scapy 2.5 and python3-cryptography)"""
import copy
import hmac
import json
import logging
import struct

logging.getLogger("scapy").setLevel(logging.ERROR)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.packet import Raw

SEQS = [(1, False), (0xFFFFFFFF, False), (1, True), (0xFFFFFFFF, True), (0x100000002, True), (0x123456789ABCDEF, True)]
LONG = IPv6(src="2001:db8:1::1", dst="2001:db8:2::1") / TCP(sport=1, dport=2)
INNERS = [IP(src="10.1.0.1", dst="10.2.0.1", id=7) / ICMP(id=1, seq=1) / Raw(b"x" * 56),
          IP(src="10.1.0.1", dst="10.2.0.1", id=8, tos=0xB8) / UDP(sport=1, dport=2) / Raw(b"a"),
          IPv6(src="2001:db8:1::1", dst="2001:db8:2::1") / ICMPv6EchoRequest(id=1, seq=1, data=b"yz"),
          LONG / Raw(bytes(range(256)) * 5)]
OUTERS = [IP(src="192.0.2.1", dst="192.0.2.2"), IPv6(src="2001:db8::1", dst="2001:db8::2")]
AUTHS = {"sha1": ("HMAC-SHA1-96", 20, 12), "sha256": ("SHA2-256-128", 32, 16), "sha384": ("SHA2-384-192", 48, 24),
         "sha512": ("SHA2-512-256", 64, 32)}

vectors = []


def octets(n, i, step=3):
    return bytes((17 * i + step * j + n) & 255 for j in range(n))


def packet(i, inner, crypt, key, iv, auth="NULL", authkey=None, icv=None):
    """The ESP packet of the i-th number."""
    seq, esn = SEQS[i]
    sa = SecurityAssociation(ESP, spi=0xC0FFEE00 + i, crypt_algo=crypt, crypt_key=key, crypt_icv_size=icv, auth_algo=auth,
                             auth_key=authkey, tunnel_header=OUTERS[i % len(OUTERS)], esn_en=esn, esn=seq >> 32)
    out = sa.encrypt(copy.deepcopy(inner), seq_num=seq & 0xFFFFFFFF, iv=iv, esn_en=esn, esn=seq >> 32)
    return bytes(out[ESP])


def authenticated(i, inner, crypt, key, iv, tail, authkey):
    """A packet with a separate integrity algorithm. scapy 2.5 leaves the high half of the sequence number out of its ICV."""
    seq, esn = SEQS[i]
    auth, _, icv = AUTHS[tail]
    if not esn:
        return packet(i, inner, crypt, key, iv, auth, authkey)
    esp = packet(i, inner, crypt, key, iv)
    return esp + hmac.new(authkey, esp + struct.pack("!L", seq >> 32), tail).digest()[:icv]  # RFC 4303, Section 2.2.1


def gmac(i, inner, key, iv):
    """RFC 4543: the packet of NULL without authentication, and over it and the IV the tag of no plaintext at all."""
    seq, esn = SEQS[i]
    plain = packet(i, inner, "NULL", None, b"")
    head, text = plain[:8], plain[8:]
    high = struct.pack("!L", seq >> 32) if esn else b""
    return head + iv + text + AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", head[:4] + high + head[4:] + iv + text)


def add(name, i, inner, key, esp):
    seq, esn = SEQS[i]
    vectors.append({"cipher": name, "key": key.hex(), "spi": 0xC0FFEE00 + i, "seq": "%d" % seq, "esn": esn,
                    "inner": bytes(inner).hex(), "esp": esp.hex()})


for name, crypt, keylen in [("aes128gcm16", "AES-GCM", 20), ("aes192gcm16", "AES-GCM", 28), ("aes256gcm16", "AES-GCM", 36),
                            ("chacha20poly1305", "CHACHA20-POLY1305", 36)]:
    for i, (seq, esn) in enumerate(SEQS):
        inner, key = INNERS[i % len(INNERS)], octets(keylen, i)
        add(name, i, inner, key, packet(i, inner, crypt, key, struct.pack("!Q", seq)))

# Two packets of each other cipher, one of them long and with an extended sequence number.
turn = 0
for bits in 128, 192, 256:
    for kind, crypt, salt, ivlen in ("ccm", "AES-CCM", 3, 8), ("gcm", "AES-GCM", 4, 8), ("gmac", None, 4, 8), ("ctr", "AES-CTR", 4, 8), ("", "AES-CBC", 0, 16):
        for tail in {"ccm": (8, 12, 16), "gcm": (8, 12), "gmac": ("",)}.get(kind, tuple(AUTHS)):
            turn += 1
            for i, inner in (turn % 2, INNERS[turn % 3]), (2 + turn % 4, LONG / Raw(octets(200 + turn, turn, 5))):
                key = octets(bits // 8 + salt, i)
                iv = struct.pack("!Q", SEQS[i][0]) if ivlen == 8 else octets(16, i, 89)
                name = "aes%d%s" % (bits, kind)
                if kind == "gmac":
                    add(name, i, inner, key, gmac(i, inner, key, iv))
                elif kind == "ccm":
                    add("%s%d" % (name, tail), i, inner, key, packet(i, inner, crypt, key, iv, icv=tail))
                elif kind == "gcm":  # the whole tag, cut (NIST SP 800-38D, Section 5.2.1.2)
                    add("%s%d" % (name, tail), i, inner, key, packet(i, inner, crypt, key, iv)[:tail - 16])
                else:
                    authkey = octets(AUTHS[tail][1], i, 7)
                    add("%s-%s" % (name, tail), i, inner, key + authkey, authenticated(i, inner, crypt, key, iv, tail, authkey))
for tail in AUTHS:
    for i, inner in (turn % 2, INNERS[turn % 3]), (2 + turn % 4, LONG / Raw(octets(200 + turn, turn, 5))):
        authkey = octets(AUTHS[tail][1], i, 7)
        add("null-%s" % tail, i, inner, authkey, authenticated(i, inner, "NULL", None, b"", tail, authkey))
        turn += 1
print("[\n" + ",\n".join(json.dumps(v) for v in vectors) + "\n]")
