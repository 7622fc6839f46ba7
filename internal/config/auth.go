package config

import (
	"slices"

	"culvert/ike"
)

const remedyOfKinds = `use "psk", "cert", or a list of both`

// authKinds reads auth or remote_auth, which are words or lists of them.
func (s section) authKinds(name string) (out []ike.AuthKind) {
	for _, e := range s.entriesOf(name, remedyOfKinds, remedyOfKinds) {
		kind := map[string]ike.AuthKind{"psk": ike.AuthPSK, "cert": ike.AuthCertificate}[e.text]
		switch {
		case kind == 0:
			s.fail(e.at, "%s = %q is not valid; use one of psk, cert, or a list of both, the preferred one first", name, e.text)
		case slices.Contains(out, kind):
			s.fail(e.at, "%s lists %q twice; remove one of them", name, e.text)
		default:
			out = append(out, kind)
		}
	}
	return out
}

// A sideProof is what a side has to prove itself by, and how that is called.
type sideProof struct {
	key    string // auth or remote_auth
	kinds  []ike.AuthKind
	given  bool // there is a certificate or key for the side
	names  string
	keys   []string
	remedy string // if there is nothing
}

// uses reports whether a side may prove itself by a kind.
func (p *sideProof) uses(k ike.AuthKind) bool {
	return slices.Contains(ike.KindsOfSide(p.kinds, p.given), k)
}

// checkProofs refuses a peer of which a side has nothing to prove itself by, or has too much. psk
// is for the sides without certificates, unless auth and remote_auth say otherwise.
func (s section) checkProofs(p *Peer) {
	psk := s.has("psk") || s.has("psk_file")
	own := sideProof{"auth", p.Auth, s.has("cert") || s.has("key"), "cert or key", []string{"cert", "key"},
		"nothing says how this side proves itself; set cert and key, or psk"}
	peers := sideProof{"remote_auth", p.RemoteAuth, s.has("ca") || s.has("remote_key"), "ca or remote_key", []string{"ca", "remote_key"},
		"nothing says how the peer proves itself; set ca to the CA of its certificate, remote_key to its public key, or psk"}
	if !psk && !own.given && !peers.given {
		s.fail("", "psk is missing; set psk = \"...\", or set psk_file to the name of a file that contains it, or use certificates: cert, key and ca")
		return
	}
	for _, side := range []*sideProof{&own, &peers} {
		s.checkProof(side, psk)
	}
	if psk && !own.uses(ike.AuthPSK) && !peers.uses(ike.AuthPSK) {
		s.fail("psk", "psk has no effect, as both sides prove themselves by certificates or keys; remove it, or list \"psk\" in auth or remote_auth")
	}
}

// checkProof refuses a side that lacks what it proves itself by, or has what it does not use.
func (s section) checkProof(side *sideProof, psk bool) {
	usesPSK, usesCert := side.uses(ike.AuthPSK), side.uses(ike.AuthCertificate)
	switch {
	case usesPSK && !psk && len(side.kinds) == 0:
		s.fail("", "%s", side.remedy)
	case usesPSK && !psk:
		s.fail(side.key, "%s lists \"psk\", and there is no psk; set psk or psk_file, or remove it from the list", side.key)
	case usesCert && !side.given:
		s.fail(side.key, "%s lists \"cert\", and there is no %s; set one of them, or remove it from the list", side.key, side.names)
	case side.given && !usesCert:
		at := side.keys[0]
		if !s.has(at) {
			at = side.keys[1]
		}
		s.fail(at, "%s has no effect with %s = \"psk\"; remove it, or list \"cert\" in %s", at, side.key, side.key)
	}
}
