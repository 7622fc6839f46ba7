package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"culvert/ike"
	"culvert/ike/certificate"
	"culvert/ike/identity"
)

// Bounds and defaults of numbers in [[peer]].
const (
	defaultIKELifetime = 8 * time.Hour
	defaultDPD         = 30 * time.Second
	minLifetime        = time.Second
	minAuthLifetime    = 10 * time.Second
	defaultFragment    = 1280
	minFragment        = 576 // RFC 7383, Section 2.5.1: for IPv4; 1280 for IPv6
	maxFragment        = 9000
	maxName            = 64
)

// goodName excludes '/', which separates PEER/CHILD in commands, and blanks.
var goodName = regexp.MustCompile(`^[\pL\pN_][\pL\pN._@:+-]*$`)

func (l *loader) readPeer(f *file, path string, index int, values map[string]any) {
	s := open(f, path, peerLabel(values, index), values, peerKeys)
	p := Peer{Peer: ike.Peer{Name: s.name("name", "peer")}}
	s.version()
	s.addresses(&p)
	p.Encap = []ike.EncapMode{ike.EncapAuto, ike.EncapAlways, ike.EncapNever}[s.word("encap", "auto", "always", "never")]
	p.DPD = s.duration("dpd", defaultDPD, minLifetime, true)
	p.DPDAction = []ike.DPDAction{ike.DPDRestart, ike.DPDTrap, ike.DPDClear}[s.word("dpd_action", "restart", "trap", "clear")]
	p.Retransmit, p.Reconnect = s.retransmit(), s.retry()
	p.Lifetime = s.duration("ike_lifetime", defaultIKELifetime, minLifetime, false)
	p.AuthLifetime = s.duration("auth_lifetime", 0, minAuthLifetime, true).Truncate(time.Second)
	if p.Fragment = int(s.number("fragment", defaultFragment, 0, maxFragment)); p.Fragment != 0 && p.Fragment < minFragment {
		s.fail("fragment", "fragment = %d is too small; use at least %d, or 0 for no fragmentation", p.Fragment, minFragment)
	}
	p.Childless = s.childless(&p)
	p.PerResource = s.word("per_cpu", "auto", "never") == 0
	p.MTU = s.mtu("0 for no ceiling")
	p.Proposals = s.ikeProposals()
	p.PSK, p.OtherPSKs = s.secrets()
	p.Certificates = s.certificates()
	p.Auth, p.RemoteAuth = s.authKinds("auth"), s.authKinds("remote_auth")
	p.Revocation, p.CRLs = s.revocation()
	p.Staple, p.OCSP = s.staple()
	raw := rawPeer{section: s}
	for i, child := range s.subtables("child") {
		raw.children = append(raw.children, l.readChild(&p, s, i, child))
	}
	if len(raw.children) == 0 && !s.brokenChild(values) {
		s.fail("", "the peer has no [[peer.child]]; add one with the networks to protect")
	}
	if n := len(p.Children); n > maxChildren {
		raw.children[maxChildren].fail("", "the peer has %d children, more than the %d Child SAs that one IKE SA may have; join their networks in fewer children, each of which may list several", n, maxChildren)
	}
	s.identities(&p)
	p.Parties = p.RemoteID.IsPattern() && !s.has("remote")
	s.maxParties(&p)
	raw.checkHosts(&p)
	s.priority(&p)
	l.config.Peers = append(l.config.Peers, p)
	l.peers = append(l.peers, raw)
}

// childless reads childless, of which two values are about what this side begins.
func (s section) childless(p *Peer) ike.ChildlessMode {
	mode := []ike.ChildlessMode{ike.ChildlessAllow, ike.ChildlessPrefer, ike.ChildlessForce, ike.ChildlessNever}[s.word("childless", "allow", "prefer", "force", "never")]
	if (mode == ike.ChildlessPrefer || mode == ike.ChildlessForce) && !s.has("remote") {
		s.fail("childless", "childless = %q has no effect on a peer that always initiates; omit it, or set remote", s.text("childless", ""))
	}
	return mode
}

// maxChildren is the engine's limit of Child SAs of one IKE SA.
const maxChildren = ike.DefaultMaxChildren

// mostParties is the greatest max_parties: all IKE SAs of a daemon are 250,000 at most.
const mostParties = 100000

// maxParties reads max_parties, which is for a peer with many parties only.
func (s section) maxParties(p *Peer) {
	p.MaxParties = int(s.number("max_parties", ike.DefaultMaxParties, 1, mostParties))
	if s.has("max_parties") && !p.Parties {
		s.fail("max_parties", "max_parties has no effect on a single peer; omit it, or omit remote and give a pattern as remote_id")
	}
}

// mostPriority is the greatest priority.
const mostPriority = 65535

// priority reads priority, which is for a single peer with IKE.
func (s section) priority(p *Peer) {
	p.Priority = int(s.number("priority", 0, 0, mostPriority))
	switch {
	case p.Priority == 0:
	case p.Parties:
		s.fail("priority", "priority has no effect on a peer with many parties; omit it, or give the identity of one peer as remote_id")
	case len(p.Children) == 0:
		s.fail("priority", "priority has no effect on manual keys, which do not show whether the peer works; omit it")
	}
}

// brokenChild reports whether child has a wrong type, which open has reported.
func (s section) brokenChild(values map[string]any) bool {
	_, ok := values["child"]
	return ok && !s.has("child")
}

func peerLabel(values map[string]any, index int) string {
	if name, ok := values["name"].(string); ok && name != "" {
		return fmt.Sprintf("peer %q: ", name)
	}
	return fmt.Sprintf("peer %d: ", index+1)
}

// name returns the name of a peer or child, or "" if it is missing or invalid.
func (s section) name(key, what string) string {
	name := s.text(key, "")
	switch {
	case !s.has(key):
		s.fail(key, "name is missing; give every %s one, for example name = \"hq\"", what)
	case len(name) > maxName || !goodName.MatchString(name):
		s.fail(key, "name = %q is not a valid name; use at most %d octets of letters, digits and . _ - @ : +, beginning with a letter, digit or _", name, maxName)
	default:
		return name
	}
	return ""
}

func (s section) version() {
	switch v := s.number("ike", 2, 0, 255); v {
	case 2:
	case 1:
		s.fail("ike", "ike = 1 is not supported by this version of culvert; use 2")
	default:
		s.fail("ike", "ike = %d is not a version of IKE; use 2", v)
	}
}

// addresses reads remote and local.
func (s section) addresses(p *Peer) {
	if s.has("remote") {
		s.remote(p)
	}
	p.RemotePort = uint16(s.number("remote_ike_port", 500, 1, 65535))
	p.RemoteNATPort = uint16(s.number("remote_nat_port", 4500, 1, 65535))
	for _, key := range []string{"remote_ike_port", "remote_nat_port"} {
		if s.has(key) && !s.has("remote") {
			s.fail(key, "%s has no effect without remote, as a peer that initiates shows its port; set remote, or remove this key", key)
		}
	}
	text := s.text("local", "")
	if text == "" {
		return
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		s.fail("local", "local = %q is not an IP address; use for example \"192.0.2.1\" or \"2001:db8::1\"", text)
	case !hostAddr(a):
		s.fail("local", "local = %s is not a unicast address; use an address of this host", a)
	case len(p.Remote) > 0 && p.Remote[0].BitLen() != a.BitLen():
		s.fail("local", "local = %s and remote = %s belong to different IP versions; use the same version for both", a, p.Remote[0])
	default:
		p.Local = a
	}
}

func (s section) remote(p *Peer) {
	text := s.text("remote", "")
	a, err := netip.ParseAddr(text)
	switch {
	case err == nil && hostAddr(a):
		p.Remote = []netip.Addr{a}
	case err == nil:
		s.fail("remote", "remote = %s is not a unicast address; use the address of the peer", a)
	case text == "":
		s.fail("remote", "remote is empty; give an address or host name, or omit it if the peer always initiates")
	case isHostname(text):
		p.RemoteName = text
	default:
		s.fail("remote", "remote = %q is neither an IP address nor a host name; use for example \"192.0.2.2\", \"2001:db8::2\" or \"hq.example.com\"", text)
	}
}

// hostAddr reports whether a is a unicast address without a zone.
func hostAddr(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == "" && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

var hostLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// isHostname reports whether text is a DNS name rather than a mistyped IPv4 address.
func isHostname(text string) bool {
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	last := labels[len(labels)-1]
	return len(text) <= 254 && strings.Trim(last, "0123456789") != "" &&
		!slices.ContainsFunc(labels, func(label string) bool { return !hostLabel.MatchString(label) })
}

// identities reads the identities and refuses a peer without what IKE needs: an identity of this
// side and proofs of both. A peer with manual children alone needs neither.
func (s section) identities(p *Peer) {
	p.LocalID = s.localID(p)
	p.RemoteID = s.identity("remote_id", remoteDefault(p))
	if s.has("local_id") && p.LocalID.IsPattern() {
		s.fail("local_id", "local_id = %q is a pattern; give the identity of this side", s.text("local_id", ""))
	}
	if len(p.Children) == 0 {
		return
	}
	if p.LocalID == (identity.ID{}) && !s.has("local_id") {
		s.fail("", "local_id is missing; give the identity of this side, for example local_id = \"left.example.com\"")
	}
	s.checkProofs(p)
	s.checkOwnIdentity(p)
}

// localID reads local_id. Its default is what our certificate says, then our address.
func (s section) localID(p *Peer) identity.ID {
	if p.Certificates != nil && len(p.Certificates.Own) > 0 && !s.has("local_id") {
		if chain := p.Certificates.Own[0].Chain; len(chain) > 0 {
			if id, ok := certificate.DefaultID(chain[0]); ok {
				return id
			}
		}
	}
	return s.identity("local_id", localDefault(p))
}

// localDefault returns the default of local_id: this side's address, or "" if it is not configured.
func localDefault(p *Peer) string {
	if p.Local.IsValid() {
		return p.Local.String()
	}
	return ""
}

// remoteDefault returns the default of remote_id: the peer's address or name, or else that of all
// identities, if IKE is used at all.
func remoteDefault(p *Peer) string {
	if len(p.Children) == 0 {
		return remoteOf(p)
	}
	return cmp.Or(remoteOf(p), identity.Any.String())
}

// remoteOf returns the peer's address or name, or "" if it may call from anywhere.
func remoteOf(p *Peer) string {
	if len(p.Remote) > 0 {
		return p.Remote[0].String()
	}
	return p.RemoteName
}

func (s section) identity(name, def string) identity.ID {
	text := s.text(name, def)
	if text == "" && !s.has(name) {
		return identity.ID{}
	}
	id, err := identity.Parse(text)
	if err != nil {
		s.fail(name, "%s: %v", name, err)
	}
	return id
}
