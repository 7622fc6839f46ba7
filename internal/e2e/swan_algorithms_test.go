//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// algorithms of ESP and IKE that strongSwan's userspace ESP and its plugins have. AES-GMAC is not
// among them. The PRF of IKE stays the same: strongSwan 5.9 derives the keys of a rekeying by the
// one before (see ike, rekeyProposals).
var (
	espAlgorithms = []string{
		"aes128gcm8", "aes192gcm12", "aes256gcm12", "aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305",
		"aes128ccm8", "aes192ccm12", "aes256ccm16",
		"aes128-sha256", "aes192-sha384", "aes256-sha512", "aes128-sha1",
		"aes128ctr-sha256", "aes192ctr-sha384", "aes256ctr-sha512", "aes256ctr-sha1",
		"null-sha256", "null-sha512",
		"aes256-sha256-modp2048", "aes128gcm16-ecp384",
	}
	ikeAlgorithms = []string{
		"aes128gcm8-prfsha256-x25519", "aes192gcm12-prfsha256-ecp256", "aes256gcm16-prfsha256-ecp384",
		"aes128ccm8-prfsha256-x25519", "aes192ccm12-prfsha256-x25519", "aes256ccm16-prfsha256-x25519", "chacha20poly1305-prfsha256-ecp521",
		"aes128-sha256-prfsha256-x25519", "aes192-sha384-prfsha256-x25519", "aes256-sha512-prfsha256-modp2048", "aes256-sha1-prfsha256-modp1024",
		"aes128ctr-sha256-prfsha256-modp1536", "aes192ctr-sha384-prfsha256-modp3072", "aes256ctr-sha512-prfsha256-modp4096",
		"aes128gcm16-prfsha256-modp6144", "aes128gcm16-prfsha256-modp8192",
	}
)

// TestStrongSwanAlgorithms goes through all algorithms, one by one, by a reload and a rekeying:
// of the Child SA, with packets both ways, and of the IKE SA, with a rekeying of the Child SA under
// the new keys.
func TestStrongSwanAlgorithms(t *testing.T) {
	t.Parallel()
	n := build(t, topology{})
	n.swan(t, func(c *netlab.SwanConfig) {
		c.IKE, c.ESP = strings.Join(ikeAlgorithms, ","), strings.Join(espAlgorithms, ",")
	})
	left := newGateway(t, n.left)
	text := func(ike, esp string) string {
		return peerText("right", "remote = \"192.0.2.2\"\n"+identities("left", "right")+fmt.Sprintf("ike_proposals = [%q]\n", ike),
			swanChildKeys+fmt.Sprintf("  esn = \"never\"\n  proposals = [%q]\n", esp)+boot)
	}
	left.start(text(ikeAlgorithms[0], espAlgorithms[0]))
	left.waitUp("right")
	use := func(what, ike, esp string) {
		t.Helper()
		left.write(text(ike, esp))
		left.do("reload")
		left.do("rekey", what)
		left.wait(10*time.Second, ike+" with "+esp, "right", func(p peerStatus) bool {
			return p.Proposal == ike && p.Children[0].Proposal == esp
		})
	}
	for _, esp := range espAlgorithms {
		use("right/v4", ikeAlgorithms[0], esp)
		n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
	}
	last := espAlgorithms[len(espAlgorithms)-1]
	for _, ike := range ikeAlgorithms {
		use("right", ike, last)
		left.do("rekey", "right/v4")
	}
	n.wantTrafficOf(t, 1<<16, leftLAN4, rightLAN4)
}
