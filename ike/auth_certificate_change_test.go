package ike

import (
	"crypto"
	"slices"
	"testing"

	"culvert/ike/certificate"
)

// Each part of the certificates is a setting of its own, in force from the next connection. What is
// read again from the same files is not a change.
func TestChangesOfCertificates(t *testing.T) {
	a, b := newCertified(t, "p256"), newCertified(t, "ed25519")
	base := func() *Certificates {
		return &Certificates{Own: proves(a.left), Trust: trusts(a.root), RemoteKeys: []crypto.PublicKey{a.right.Key.Public()}}
	}
	was := Peer{Certificates: base()}
	for name, tt := range map[string]struct {
		edit  func(c *Certificates)
		want  []string
		reach Reach
	}{
		"the same":         {edit: func(*Certificates) {}},
		"renewed":          {edit: func(c *Certificates) { c.Own = []OwnKey{{a.left.Key, a.right.Chain()}} }, want: []string{"cert"}, reach: ReachConnect},
		"another key":      {edit: func(c *Certificates) { c.Own = proves(b.left) }, want: []string{"cert", "key"}, reach: ReachConnect},
		"an intermediate":  {edit: func(c *Certificates) { c.Own[0].Chain = c.Own[0].Chain[:2] }, want: []string{"cert"}, reach: ReachConnect},
		"one in addition":  {edit: func(c *Certificates) { c.Own = append(c.Own, proves(b.left)...) }, want: []string{"cert", "key"}, reach: ReachConnect},
		"an authority":     {edit: func(c *Certificates) { c.Trust = trusts(a.root, b.root) }, want: []string{"ca"}, reach: ReachConnect},
		"no authority":     {edit: func(c *Certificates) { c.Trust = nil }, want: []string{"ca"}, reach: ReachConnect},
		"the peer's key":   {edit: func(c *Certificates) { c.RemoteKeys = nil }, want: []string{"remote_key"}, reach: ReachConnect},
		"a purpose":        {edit: func(c *Certificates) { c.Purpose = certificate.IKE }, want: []string{"remote_eku"}, reach: ReachConnect},
		"padding":          {edit: func(c *Certificates) { c.PKCS1 = true }, want: []string{"rsa_padding"}, reach: ReachConnect},
		"SHA-1":            {edit: func(c *Certificates) { c.SHA1 = true }, want: []string{"rsa_sha1"}, reach: ReachConnect},
		"its own raw key":  {edit: func(c *Certificates) { c.Own[0].Chain = nil }, want: []string{"cert"}, reach: ReachConnect},
		"trusted, as read": {edit: func(c *Certificates) { c.Trust = certificate.NewTrust(slices.Clone(c.Trust.Authorities())) }},
	} {
		now := Peer{Certificates: base()}
		tt.edit(now.Certificates)
		var keys []string
		list := Changes(&was, &now)
		for _, c := range list {
			keys = append(keys, c.Key)
		}
		if !slices.Equal(keys, tt.want) || Furthest(list) != tt.reach {
			t.Errorf("%s: %v, want %v", name, list, tt.want)
		}
	}
	if list := Changes(&was, &Peer{}); Furthest(list) != ReachPeer {
		t.Errorf("nothing authenticates the peer: %v", list)
	}
	if list := Changes(&was, &Peer{PSK: testPSK()}); Furthest(list) != ReachConnect {
		t.Errorf("a pre-shared key in place of them: %v", list)
	}
}
