package verdict

import (
	"net/netip"
	"time"

	"culvert/selector"
)

// A Peer is what is known of a peer, or of one party of it, at a moment.
type Peer struct {
	Now time.Time
	Up  bool // it has an IKE SA, also while that is rekeyed
	// Manual reports that it has no IKE: its keys are configured.
	Manual bool
	Held   bool // an operator took it down
	Calls  bool // we connect to it; or anybody may call, as one of many parties
	// Wanted reports that it is to be up, because of a child or of traffic.
	Wanted bool
	Asked  Asked
	Heard  time.Time // when something authentic last came of it; zero: never, or not by this IKE SA
	Begun  Begun
	// Unreachable is what this host or an ICMP error says of the way to it: a sentence, and after
	// a semicolon perhaps a remedy. "": nothing lately.
	Unreachable string
	// Failed is why it is not up, as far as the peer said so, or why its last IKE SA ended.
	Failed string
	// Offers are what both sides offered, as far as it is known, in lines.
	Offers     []string
	ESPBlocked bool // ESP was found to pass neither in UDP nor as IP protocol 50
	// RekeyRefused is why the last rekeying was refused, and when, unless one has succeeded since.
	RekeyRefused   string
	RekeyRefusedAt time.Time
	Restarted      time.Time // when it last showed that it had lost its IKE SAs
	// Established are the times at which an IKE SA was last established by a new IKE_SA_INIT, the
	// oldest first.
	Established []time.Time
	Outer       []netip.Addr // its addresses
	NoPolicy    []Flow       // the last packets towards the tunnels that no policy covers
	Children    []Child
}

// Asked is a request that was not answered.
type Asked struct {
	Message string // IKE_SA_INIT, IKE_AUTH, ...
	To      netip.AddrPort
	Since   time.Time // when it was first sent
	Times   int       // how often; 0: there is none
	// PortChanged reports that IKE_SA_INIT was answered at the IKE port, and this goes to the NAT
	// port.
	PortChanged bool
}

// Begun is how often somebody at the peer's addresses began to connect, and did not go on.
type Begun struct {
	Times int
	Since time.Time
}

// A Flow is a packet that was dropped.
type Flow struct {
	selector.Flow
	At time.Time
}

// A Child is what is known of a child.
type Child struct {
	Name         string
	Up           bool // it has SAs
	Held         bool // an operator took it down
	Wanted       bool // it was tried to bring it up
	Encapsulated bool // its ESP goes in UDP
	// Unheard is what was sent since something came.
	Unheard struct {
		Since   time.Time // zero: nothing was
		Packets uint64
	}
	MTU              int  // of inner packets; 0: unknown
	PathMTU, LinkMTU int  // of outer packets; 0: unknown
	Narrowed         bool // its SAs carry less than it asks for
	// What it asks for and, with SAs, what was granted.
	AskedLocal, AskedRemote, Local, Remote []selector.Selector
	Failed                                 string   // why the last negotiation for it failed; "": it did not
	Offers                                 []string // as of Peer
	Drops                                  []Drop
}

// A Drop is packets of a child that were dropped for a reason, within the last minute or so.
type Drop struct {
	Reason string // as status has it
	Count  uint64
	Last   Flow // an example; without addresses if none is known
}
