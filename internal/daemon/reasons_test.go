package daemon

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/ike/adversary"
	"culvert/ike/wire"
)

// A told is what one side tells of a failure; zero: nothing is looked for.
type told struct {
	cause, text string
	details     []string
}

// A reasonCase is one cause of a failed negotiation. left is the initiator.
type reasonCase struct {
	name                  string
	left, right           keys // of the peer
	leftChild, rightChild keys
	files                 func(t *testing.T) map[string][]byte
	rogue                 func(r *rogue) // the right side is the adversary, which this prepares
	calls                 bool           // and it calls
	alone, up             bool           // up is of the IKE SA alone; it succeeds
	wantLeft, wantRight   told
}

const (
	leftAddr  = "192.0.2.1"
	rightAddr = "192.0.2.2"
)

var reasonCases = []reasonCase{
	{name: "wrong PSK", right: keys{"psk": quoted("another-secret-of-it")},
		wantLeft:  told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: the pre-shared keys differ, or it accepts none, or it does not expect left.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
		wantRight: told{"psk", "192.0.2.1:4500: authentication of left.example.com failed: the pre-shared keys differ; it called right.example.com", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by pre-shared key, to right.example.com"}},
	},
	{name: "wrong PSK of the responder", rogue: func(r *rogue) { r.PSK = []byte("another-secret-of-it") },
		wantLeft: told{"psk", "authentication of right.example.com failed: the pre-shared keys differ; we are left.example.com", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by pre-shared key"}},
	},
	{name: "unknown identity of the initiator", left: keys{"local_id": `"other.example.com"`},
		wantLeft:  told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: the pre-shared keys differ, or it accepts none, or it does not expect other.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: other.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
		wantRight: told{"identity", "192.0.2.1:4500: it identified itself as other.example.com, but remote_id is left.example.com", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: other.example.com, by pre-shared key, to right.example.com"}},
	},
	{name: "another identity of the responder", right: keys{"local_id": `"other.example.com"`},
		wantLeft:  told{"identity", "the peer identified itself as other.example.com, but remote_id is right.example.com", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: other.example.com, by pre-shared key"}},
		wantRight: told{"rejected", "the peer rejected our authentication with AUTHENTICATION_FAILED: the pre-shared keys differ, or it accepts none, or it does not expect other.example.com, or is not left.example.com; the other side's log knows which", []string{"ours: other.example.com, by pre-shared key", "expected of the peer: left.example.com", "theirs: left.example.com"}},
	},
	{name: "no common IKE proposal", right: keys{"ike_proposals": `["aes128gcm16-prfsha256-x25519"]`},
		wantLeft:  told{"ike-proposal", "the peer answered NO_PROPOSAL_CHOSEN to IKE_SA_INIT: it accepts none of our IKE proposals, or has no peer for our address; the other side's log knows which", []string{"ours: aes256gcm16-prfsha256-x25519", "theirs: unknown; see the peer's log"}},
		wantRight: told{"ike-proposal", "192.0.2.1:500: no common IKE proposal: encryption: we have aes128gcm16, they have aes256gcm16", []string{"ours: aes128gcm16-prfsha256-x25519", "theirs: aes256gcm16-prfsha256-x25519", "first difference: encryption: we have aes128gcm16, they have aes256gcm16"}},
	},
	{name: "no common group", right: keys{"ike_proposals": `["aes256gcm16-prfsha256-ecp256"]`},
		wantLeft:  told{"ike-proposal", "the peer answered NO_PROPOSAL_CHOSEN to IKE_SA_INIT: it accepts none of our IKE proposals, or has no peer for our address; the other side's log knows which", []string{"ours: aes256gcm16-prfsha256-x25519", "theirs: unknown; see the peer's log"}},
		wantRight: told{"ike-group", "192.0.2.1:500: no common key exchange for IKE: we have ecp256, they have x25519", []string{"ours: aes256gcm16-prfsha256-ecp256", "theirs: aes256gcm16-prfsha256-x25519", "first difference: key exchange: we have ecp256, they have x25519"}},
	},
	{name: "no common ESP proposal", rightChild: keys{"proposals": `["chacha20poly1305"]`},
		wantLeft:  told{"esp-proposal", "the peer answered NO_PROPOSAL_CHOSEN to IKE_AUTH: it accepts none of our ESP proposals; the other side's log knows which differs", []string{"ours: aes128gcm16-esn-noesn", "theirs: unknown; see the peer's log"}},
		wantRight: told{"esp-proposal", "no common ESP proposal: encryption: we have chacha20poly1305, they have aes128gcm16", []string{"ours: chacha20poly1305-esn-noesn", "theirs: aes128gcm16-esn-noesn", "first difference: encryption: we have chacha20poly1305, they have aes128gcm16"}},
	},
	{name: "ESN", leftChild: keys{"esn": `"always"`}, rightChild: keys{"esn": `"never"`},
		wantLeft:  told{"esp-proposal", `the peer answered NO_PROPOSAL_CHOSEN to IKE_AUTH: it accepts none of our ESP proposals; it may have no ESN, which esn = "always" needs; the other side's log knows which differs`, []string{"ours: aes128gcm16-esn", "theirs: unknown; see the peer's log"}},
		wantRight: told{"esn", "only ESN differs: we have noesn, they have esn", []string{"ours: aes128gcm16", "theirs: aes128gcm16-esn", "first difference: sequence numbers: we have noesn, they have esn"}},
	},
	{name: "PFS", left: keys{"childless": `"force"`, "pfs": `"require"`}, right: keys{"pfs": `"off"`}, leftChild: keys{"proposals": `["aes128gcm16-x25519"]`},
		wantLeft:  told{"esp-proposal", "the peer answered NO_PROPOSAL_CHOSEN to CREATE_CHILD_SA: it accepts none of our ESP proposals; it may want another PFS (key exchanges offered: x25519); the other side's log knows which differs", []string{"ours: aes128gcm16-x25519-esn-noesn", "theirs: unknown; see the peer's log"}},
		wantRight: told{"pfs", "only PFS differs: we have none, they have x25519", []string{"ours: aes128gcm16-esn-noesn", "theirs: aes128gcm16-x25519-esn-noesn", "first difference: key exchange: we have nothing, they have x25519"}},
	},
	{name: "networks that do not meet", rightChild: keys{"local": `["10.9.0.0/16"]`},
		wantLeft:  told{"networks", "the peer answered TS_UNACCEPTABLE to IKE_AUTH: it grants none of our networks; the other side's log knows which it has", []string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: unknown; see the peer's log"}},
		wantRight: told{"networks", "networks do not meet: our side's 10.2.0.0/16, which the peer asks for, has no partner in our local 10.9.0.0/16", []string{"ours: local 10.9.0.0/16, remote 10.1.0.0/16", "theirs: local 10.2.0.0/16, remote 10.1.0.0/16"}},
	},
	{name: "our networks do not meet", rightChild: keys{"remote": `["10.9.0.0/16"]`},
		wantLeft:  told{"networks", "the peer answered TS_UNACCEPTABLE to IKE_AUTH: it grants none of our networks; the other side's log knows which it has", []string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: unknown; see the peer's log"}},
		wantRight: told{"networks", "networks do not meet: the peer's 10.1.0.0/16 has no partner in our remote 10.9.0.0/16", []string{"ours: local 10.2.0.0/16, remote 10.9.0.0/16", "theirs: local 10.2.0.0/16, remote 10.1.0.0/16"}},
	},
	{name: "granted less", up: true, leftChild: keys{"remote": `["10.2.0.0/16", "10.3.0.0/16"]`},
		wantLeft: told{"narrowed", "the peer granted 10.1.0.0/16 with 10.2.0.0/16 of 10.1.0.0/16 with 10.2.0.0/16 10.3.0.0/16, without remote 10.3.0.0/16; the rest is asked for when a packet needs it; to carry all, configure the same networks on both sides", []string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16 10.3.0.0/16", "theirs: local 10.1.0.0/16, remote 10.2.0.0/16"}},
	},
	{name: "transport mode", leftChild: keys{"mode": `"transport"`, "local": `["192.0.2.1"]`, "remote": `["192.0.2.2"]`}, rightChild: keys{"local": `["192.0.2.2"]`, "remote": `["192.0.2.1"]`},
		wantLeft: told{"mode", `the peer's answer is not acceptable: it is in tunnel mode, as the peer declines transport mode; set up transport mode at the peer, or mode = "tunnel" on both sides`, nil},
	},
	{name: "tunnel mode", rightChild: keys{"mode": `"transport"`, "local": `["192.0.2.2"]`, "remote": `["192.0.2.1"]`}, leftChild: keys{"local": `["192.0.2.1"]`, "remote": `["192.0.2.2"]`},
		wantLeft:  told{"networks", "the peer answered TS_UNACCEPTABLE to IKE_AUTH: it grants none of our networks; the other side's log knows which it has", []string{"ours: local 192.0.2.1/32, remote 192.0.2.2/32", "theirs: unknown; see the peer's log"}},
		wantRight: told{"mode", "the peer asks for tunnel mode, and this child is in transport mode between two addresses; configure the same mode and addresses on both sides", []string{"ours: local 192.0.2.2/32, remote 192.0.2.1/32", "theirs: local 192.0.2.2/32, remote 192.0.2.1/32"}},
	},
	{name: "encapsulation", left: keys{"encap": `"never"`}, rogue: refusesChild(wire.NoProposalChosen),
		wantLeft: told{"esp-proposal", `the peer answered NO_PROPOSAL_CHOSEN to IKE_AUTH: it accepts none of our ESP proposals; it may carry ESP in UDP only, which encap = "never" excludes; the other side's log knows which differs`, []string{"ours: aes128gcm16-esn-noesn", "theirs: unknown; see the peer's log"}},
	},
	{name: "no IKE SA without a Child SA", alone: true, right: keys{"childless": `"never"`},
		wantLeft: told{"childless", "the peer answered IKE_SA_INIT, and makes no IKE SA without a Child SA: it does not announce CHILDLESS_IKEV2_SUPPORTED (RFC 6023); nothing was brought up", nil},
	},
	{name: "childless by force", left: keys{"childless": `"force"`}, right: keys{"childless": `"never"`},
		wantLeft: told{"childless", `unacceptable response to IKE_SA_INIT: it does not announce IKE SAs without a Child SA (CHILDLESS_IKEV2_SUPPORTED), and childless = "force" allows no others`, nil},
	},
	{name: "method of authentication", right: keys{"remote_auth": `"cert"`, "ca": `"DIR/root.crt"`}, files: pki(good),
		wantLeft:  told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: the pre-shared keys differ, or it accepts none, or it does not expect left.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
		wantRight: told{"auth-method", "192.0.2.1:4500: left.example.com authenticates with a pre-shared key, not with a certificate", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by pre-shared key, to right.example.com"}},
	},
	{name: "certificate expired", left: withCert, right: wantCert, files: pki(expired),
		wantLeft:  told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: it does not accept our certificate, or it does not expect left.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: left.example.com, by certificate", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who expired at 2024-12-01T00:00:00Z, and the clock of this host shows 2025-01-01T00:00:00Z", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2024-01-01T00:00:00Z to 2024-12-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "certificate of the responder expired", left: wantCert, right: withCert, files: pki(expired),
		wantLeft:  told{"certificate", "authentication of right.example.com failed: the certificate O=Example, CN=who expired at 2024-12-01T00:00:00Z, and the clock of this host shows 2025-01-01T00:00:00Z", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by certificate", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2024-01-01T00:00:00Z to 2024-12-01T00:00:00Z, ECDSA P-256: not accepted"}},
		wantRight: told{"rejected", "the peer rejected our authentication with AUTHENTICATION_FAILED: it does not accept our certificate, or it does not expect right.example.com, or is not left.example.com; the other side's log knows which", []string{"ours: right.example.com, by certificate", "expected of the peer: left.example.com", "theirs: left.example.com"}},
	},
	{name: "certificate not yet valid", left: withCert, right: wantCert, files: pki(early),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who is not valid before 2025-02-01T00:00:00Z, and the clock of this host shows 2025-01-01T00:00:00Z", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2025-02-01T00:00:00Z to 2026-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "unknown CA", left: withCert, right: wantCert, files: pki(strange),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: its certificate O=Example, CN=who is not of an authority in ca: the issuer of O=Example, CN=who, O=Example, CN=stranger, is neither in ca nor among the 0 intermediate certificates that it sent", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=stranger, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "trusted: O=Example, CN=root"}},
	},
	{name: "unknown CA of the responder", left: wantCert, right: withCert, files: pki(strange),
		wantLeft:  told{"certificate", "authentication of right.example.com failed: its certificate O=Example, CN=who is not of an authority in ca: the issuer of O=Example, CN=who, O=Example, CN=stranger, is neither in ca nor among the 0 intermediate certificates that it sent", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by certificate", "certificate 1: O=Example, CN=who, issued by O=Example, CN=stranger, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "trusted: O=Example, CN=root"}},
		wantRight: told{"rejected", "the peer rejected our authentication with AUTHENTICATION_FAILED: it does not accept our certificate, or it does not expect right.example.com, or is not left.example.com; the other side's log knows which", []string{"ours: right.example.com, by certificate", "expected of the peer: left.example.com", "theirs: left.example.com"}},
	},
	{name: "wrong name", left: withCert, right: wantCert, files: pki(misnamed),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: its certificate O=Example, CN=who is not for its identity left.example.com; it is for: another.example.com; O=Example, CN=who", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "revoked", left: withCert, right: wantCert.with(keys{"crl": `"DIR/root.crl"`}), files: pki(direct, revoked),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate of O=Example, CN=who was revoked at 2024-12-24T00:00:00Z (key compromise)", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "nothing tells whether it is revoked", left: withCert, right: wantCert.with(keys{"revocation": `"strict"`}), files: pki(good),
		wantRight: told{"certificate", `192.0.2.1:4500: authentication of left.example.com failed: nothing tells whether the certificate of O=Example, CN=who is revoked, and revocation = "strict": it names neither an OCSP responder nor a CRL; set crl`, []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=middle, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "certificate 2: O=Example, CN=middle, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256"}},
	},
	{name: "key usage", left: withCert, right: wantCert, files: pki(usage),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who is not for signatures: its key usage has neither digitalSignature nor nonRepudiation", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "extended key usage", left: withCert, right: wantCert.with(keys{"remote_eku": `"server"`}), files: pki(client),
		wantRight: told{"certificate", `192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who has the extended key usage clientAuth; remote_eku = "server" wants serverAuth`, []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "name constraint", left: withCert, right: wantCert, files: pki(constrained),
		wantRight: told{"certificate", `192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who does not hold in the chain of O=Example, CN=who: its names are outside of the name constraints of an authority above it: DNS name "left.example.com" is not permitted by any constraint`, []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=narrow, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "certificate 2: O=Example, CN=narrow, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256"}},
	},
	{name: "path too long", left: withCert, right: wantCert, files: pki(long),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=short does not hold in the chain of O=Example, CN=who: the path is too long: its authority allows fewer authorities below it (pathLenConstraint)", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=below, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256", "certificate 2: O=Example, CN=below, issued by O=Example, CN=short, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256", "certificate 3: O=Example, CN=short, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "not an authority", left: withCert, right: wantCert, files: pki(notCA),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who names O=Example, CN=middle as its issuer, whose key did not sign it", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=middle, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "certificate 2: O=Example, CN=middle, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256", "trusted: O=Example, CN=root"}},
	},
	{name: "signature of another CA of the name", left: withCert, right: wantCert, files: pki(forged),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: the certificate O=Example, CN=who names O=Example, CN=root as its issuer, whose key did not sign it", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256: not accepted", "trusted: O=Example, CN=root"}},
	},
	{name: "expired authority", left: withCert, right: wantCert, files: pki(oldRoot),
		wantRight: told{"certificate", "192.0.2.1:4500: authentication of left.example.com failed: in the chain of its certificate O=Example, CN=who, the certificate O=Example, CN=middle expired at 2024-06-01T00:00:00Z, and the clock of this host shows 2025-01-01T00:00:00Z", []string{"ours: right.example.com", "expected of the peer: left.example.com", "theirs: left.example.com, by certificate, to right.example.com", "certificate 1: O=Example, CN=who, issued by O=Example, CN=middle, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, ECDSA P-256", "certificate 2: O=Example, CN=middle, issued by O=Example, CN=root, valid from 2020-01-01T00:00:00Z to 2024-06-01T00:00:00Z, ECDSA P-256: not accepted"}},
	},
	{name: "weak key", left: wantCert, rogue: proves(weakKey), files: pki(good),
		wantLeft: told{"certificate", "authentication of right.example.com failed: its certificate 1 (O=Example, CN=who) has an RSA key of 1024 bits, which is too short; use at least 2048", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by certificate", "certificate 1: O=Example, CN=who, issued by O=Example, CN=who, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, RSA-1024: not accepted"}},
	},
	{name: "wrong signature", left: wantCert, rogue: signed(wrongSignature), files: pki(good),
		wantLeft: told{"certificate", "authentication of right.example.com failed: with the certificate O=Example, CN=who, its signature is wrong", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by certificate", "certificate 1: O=Example, CN=who, issued by O=Example, CN=who, valid from 2020-01-01T00:00:00Z to 2040-01-01T00:00:00Z, Ed25519: not accepted"}},
	},
	{name: "malformed certificate", left: wantCert, rogue: proves(malformed), files: pki(good),
		wantLeft: told{"certificate", "authentication of right.example.com failed: its certificate 1 is malformed", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by certificate", "certificate 1: malformed: not accepted"}},
	},
	{name: "no certificate", left: wantCert, rogue: proves(nothing), files: pki(good),
		wantLeft: told{"certificate", "authentication of right.example.com failed: it sends no certificate; have it send one, or set remote_key to its public key", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: right.example.com, by key without a certificate"}},
	},
	{name: "IKEv1 answers", rogue: func(r *rogue) { r.answer = func(_ *rogue, data []byte) [][]byte { return [][]byte{ikev1(data)} } },
		wantLeft: told{"ike-version", "the peer speaks IKEv1, and we speak IKEv2 only: its connection must be set to IKEv2", nil},
	},
	{name: "IKEv1 calls", calls: true, rogue: func(r *rogue) { r.send([][]byte{ikev1(r.Connect()[0])}) },
		wantLeft: told{"ike-version", "192.0.2.2:500: the peer speaks IKEv1, and we speak IKEv2 only: its connection must be set to IKEv2", nil},
	},
	{name: "a lower version only", rogue: notifies(always(wire.InvalidMajorVersion)),
		wantLeft: told{"ike-version", "the peer answered INVALID_MAJOR_VERSION to IKE_SA_INIT: it does not speak IKEv2; its connection must be set to IKEv2", nil},
	},
	{name: "NO_PROPOSAL_CHOSEN to IKE_SA_INIT", rogue: notifies(always(wire.NoProposalChosen)),
		wantLeft: told{"ike-proposal", "the peer answered NO_PROPOSAL_CHOSEN to IKE_SA_INIT: it accepts none of our IKE proposals, or has no peer for our address; the other side's log knows which", []string{"ours: aes256gcm16-prfsha256-x25519", "theirs: unknown; see the peer's log"}},
	},
	{name: "a group that we do not offer", rogue: notifies(always(wire.InvalidKEPayload, 0, 19)),
		wantLeft: told{"ike-group", "no common key exchange for IKE: the peer wants key exchange ecp256, which we do not offer; we offer x25519", []string{"ours: aes256gcm16-prfsha256-x25519", "theirs: unknown; see the peer's log"}},
	},
	{name: "the group that we sent", rogue: notifies(always(wire.InvalidKEPayload, 0, 31)),
		wantLeft: told{"ike-group", "no common key exchange for IKE: the peer answers INVALID_KE_PAYLOAD and names key exchange x25519, which is the one we sent", []string{"ours: aes256gcm16-prfsha256-x25519", "theirs: unknown; see the peer's log"}},
	},
	{name: "groups in alternation", left: keys{"ike_proposals": `["aes256gcm16-prfsha256-x25519", "aes256gcm16-prfsha256-ecp256"]`}, rogue: notifies(func(n int) *wire.Notify {
		return &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, []byte{31, 19}[n%2]}}
	}),
		wantLeft: told{"ike-group", "the peer asks for another key exchange once too often (INVALID_KE_PAYLOAD, 4 times), at last for x25519; we offer x25519, ecp256", []string{"ours: aes256gcm16-prfsha256-x25519, aes256gcm16-prfsha256-ecp256", "theirs: unknown; see the peer's log"}},
	},
	{name: "cookies without end", rogue: notifies(func(n int) *wire.Notify { return &wire.Notify{Kind: wire.Cookie, Data: []byte{byte(n)}} }),
		wantLeft: told{"cookie", "the peer asks for a cookie again and again (5 times): something between us changes our messages or their source, or its secret changes too fast", nil},
	},
	{name: "an error without a name", rogue: notifies(always(8000)),
		wantLeft: told{"answered", "the peer answered error(8000) to IKE_SA_INIT: what it means is unknown here; see the peer's log", nil},
	},
	{name: "nobody answers", rogue: func(r *rogue) { r.answer = func(*rogue, []byte) [][]byte { return nil } },
		wantLeft: told{"no-answer", "no answer to IKE_SA_INIT from 192.0.2.2:500", nil},
	},
	{name: "AUTHENTICATION_FAILED", rogue: refuses(adversary.AuthResponse, wire.AuthenticationFailed),
		wantLeft: told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: the pre-shared keys differ, or it accepts none, or it does not expect left.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: left.example.com, by pre-shared key", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
	},
	{name: "AUTHENTICATION_FAILED to a certificate", left: withCert, rogue: refuses(adversary.AuthResponse, wire.AuthenticationFailed), files: pki(good),
		wantLeft: told{"rejected", "the peer answered AUTHENTICATION_FAILED to IKE_AUTH: it does not accept our certificate, or it does not expect left.example.com, or is not right.example.com; the other side's log knows which", []string{"ours: left.example.com, by certificate", "expected of the peer: right.example.com", "theirs: unknown; see the peer's log"}},
	},
	{name: "INVALID_SYNTAX to IKE_AUTH", rogue: refuses(adversary.AuthResponse, wire.InvalidSyntax),
		wantLeft: told{"answered", "the peer answered INVALID_SYNTAX to IKE_AUTH: it cannot read our message, or does not allow what is in it", nil},
	},
	{name: "INTERNAL_ADDRESS_FAILURE", rogue: refusesChild(wire.InternalAddressFailure),
		wantLeft: told{"answered", "the peer answered INTERNAL_ADDRESS_FAILURE to IKE_AUTH: it has no address to assign, and would assign one to us", nil},
	},
	{name: "FAILED_CP_REQUIRED", rogue: refusesChild(wire.FailedCPRequired),
		wantLeft: told{"answered", "the peer answered FAILED_CP_REQUIRED to IKE_AUTH: it wants us to ask for an address (CP), which is not supported", nil},
	},
	{name: "SINGLE_PAIR_REQUIRED", rogue: refusesChild(wire.SinglePairRequired),
		wantLeft: told{"answered", "the peer answered SINGLE_PAIR_REQUIRED to IKE_AUTH: it makes a Child SA for a single pair of addresses only, those of a packet", nil},
	},
	{name: "NO_ADDITIONAL_SAS", rogue: refusesChild(wire.NoAdditionalSAs),
		wantLeft: told{"answered", "the peer answered NO_ADDITIONAL_SAS to IKE_AUTH: it has no room for another Child SA, or makes none but the first", nil},
	},
	{name: "TEMPORARY_FAILURE", rogue: refusesChild(wire.TemporaryFailure),
		wantLeft: told{"answered", "the peer answered TEMPORARY_FAILURE to IKE_AUTH: it is busy with these SAs, and may accept it later", nil},
	},
	{name: "TS_UNACCEPTABLE", rogue: refusesChild(wire.TSUnacceptable),
		wantLeft: told{"networks", "the peer answered TS_UNACCEPTABLE to IKE_AUTH: it grants none of our networks; the other side's log knows which it has", []string{"ours: local 10.1.0.0/16, remote 10.2.0.0/16", "theirs: unknown; see the peer's log"}},
	},
	{name: "EAP", calls: true, rogue: func(r *rogue) {
		r.edits(adversary.AuthRequest, func(ps []adversary.Piece) []adversary.Piece {
			return slices.DeleteFunc(ps, func(p adversary.Piece) bool { return p.Type == wire.PayloadAuth })
		})
		r.send(r.Connect())
	},
		wantLeft: told{"auth-method", "192.0.2.2:500: it wants EAP authentication, which is not supported; set it up for a pre-shared key or a certificate", nil},
	},
	{name: "a malformed call", calls: true, rogue: func(r *rogue) {
		r.edits(adversary.InitRequest, func(ps []adversary.Piece) []adversary.Piece { return ps[:2] })
		r.send(r.Connect())
	},
		wantLeft: told{"unusable", "192.0.2.2:500: malformed IKE_SA_INIT request: missing Nonce payload", nil},
	},
	{name: "an answer of another proposal", rogue: func(r *rogue) {
		r.edits(adversary.AuthResponse, func(ps []adversary.Piece) []adversary.Piece {
			for i := range ps {
				if ps[i].Type == wire.PayloadSA {
					ps[i].Body[4] = 9
				}
			}
			return ps
		})
	},
		wantLeft: told{"unusable", "the peer's answer is not acceptable: the peer chose proposal 9 for ESP, which we did not offer", nil},
	},
}

// TestReasons: each cause has one reason, and its words are the same in the events of the engine,
// in the log, in the status and in the error of up.
func TestReasons(t *testing.T) {
	for _, c := range reasonCases {
		t.Run(c.name, func(t *testing.T) { inBubble(t, func(t *testing.T) { c.run(t) }) })
	}
}

func (c *reasonCase) run(t *testing.T) {
	var files map[string][]byte
	if c.files != nil {
		files = c.files(t)
	}
	left := newEnd(t, leftAddr, "[[peer]]\n"+peerKeys("left", "right", rightAddr).with(c.left).String()+"[[peer.child]]\n"+
		childKeys("10.1.0.0/16", "10.2.0.0/16").with(c.leftChild).String(), files)
	if c.rogue != nil {
		c.against(t, left)
		return
	}
	right := newEnd(t, rightAddr, "[[peer]]\n"+peerKeys("right", "left", leftAddr).with(c.right).String()+"[[peer.child]]\n"+
		childKeys("10.2.0.0/16", "10.1.0.0/16").with(c.rightChild).String(), files)
	joinEnds(left, right)
	c.bringUp(t, left)
	c.wantRight.check(t, right)
	left.stop()
	right.stop()
}

// against runs a case whose right side is the adversary.
func (c *reasonCase) against(t *testing.T, left *end) {
	r := newRogue(t, left)
	c.rogue(r)
	if c.calls {
		time.Sleep(time.Second)
		c.wantLeft.check(t, left)
	} else {
		c.bringUp(t, left)
	}
	left.stop()
}

// bringUp has the left side connect, and checks what it tells.
func (c *reasonCase) bringUp(t *testing.T, left *end) {
	t.Helper()
	err := left.up("right", c.alone)
	synctest.Wait()
	if (err == nil) != c.up {
		t.Errorf("up: %v", err)
	}
	if err != nil && c.wantLeft.cause != "" {
		got := record{err.Cause, strings.TrimPrefix(err.Text, `child "lan": `), err.Details}
		c.wantLeft.compare(t, "the error of up", []record{got})
	}
	c.wantLeft.check(t, left)
}

// check compares what a side tells in all its outputs.
func (w *told) check(t *testing.T, e *end) {
	t.Helper()
	status, raw := e.status()
	if w.cause == "" {
		return
	}
	who := e.addr.String()
	w.compare(t, "the log of "+who, e.logged())
	w.compare(t, "the status of "+who, status)
	if !slices.ContainsFunc(e.events(), func(text string) bool { return text == w.text }) {
		t.Errorf("the events of %s lack %q: %q", who, w.text, e.events())
	}
	if strings.Contains(e.log.String()+raw, theSecret) {
		t.Errorf("%s tells the secret", who)
	}
}

// compare looks for the words among those of an output.
func (w *told) compare(t *testing.T, where string, list []record) {
	t.Helper()
	for _, r := range list {
		if r.Cause == w.cause && r.Text == w.text && slices.Equal(r.Details, w.details) {
			return
		}
	}
	t.Errorf("%s lacks\n%s %q %q: it has\n%q", where, w.cause, w.text, w.details, list)
}
