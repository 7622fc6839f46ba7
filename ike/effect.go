package ike

import (
	"net/netip"

	"culvert/esp"
	"culvert/ike/wire"
)

// Effects are what Handle asks for, in the order in which it must be done. The order is part of the contract: InstallInbound comes
// before the Send that lets the peer use the SA.
type Effects struct{ List []Effect }

// Effect is one of the Effect types below.
type Effect interface{ isEffect() }

// The effects of Engine.Handle. Byte slices in effects are the receiver's to keep, but not to change.
type (
	// Send sends an IKE message. NATPort: from our NAT port, with the non-ESP marker. A Keepalive is
	// the single octet 0xFF without marker.
	Send struct {
		Local, Remote netip.AddrPort // Local's address may be invalid: the system chooses
		NATPort       bool
		Keepalive     bool
		DontFragment  bool // one IP packet that nobody may fragment, or nothing
		FragmentSize  int  // if positive: in IP fragments made here, of at most this many octets
		Data          []byte
	}
	// Compute runs Run on any goroutine; its value comes back as Computed{ID, value}. Run touches nothing of the engine.
	Compute struct {
		ID  uint64
		Run func() any
	}
	// InstallInbound makes the inbound SA of the pair live, and makes the pair known; nothing is sent on it yet.
	// The keys in it are nowhere else, and are for who carries this out to clear (ChildSA.ClearKeys).
	InstallInbound struct{ SA esp.ChildSA }
	// ActivateOutbound makes the pair's outbound SA the one that its policy, or for one with a Resource that worker, sends on, unless a newer one is already.
	ActivateOutbound struct{ ID esp.ChildID }
	// DeactivateOutbound ends the sending on the pair. What comes on it is still let in.
	DeactivateOutbound struct{ ID esp.ChildID }
	// RemoveSA removes both SAs of the pair and frees their SPI.
	RemoveSA struct{ ID esp.ChildID }
	// SetEndpoint changes where the pair's packets go.
	SetEndpoint struct {
		ID       esp.ChildID
		Endpoint esp.Endpoint
	}
	// NeedTraffic asks for a Traffic input for the pair, at once.
	NeedTraffic struct{ ID esp.ChildID }
	// AcquireFailed says that what an Acquire (or a failed Connect) waited for will not come: kept packets of the policy may be dropped.
	AcquireFailed struct{ Policy esp.Policy }
	// PathProbed is the result of a ProbePath.
	PathProbed struct{ esp.PathProbe }
	// Resolve asks for the peer's DNS name to be looked up again, because a round of tries failed,
	// whatever the reason; SetPeers or ChangePeers brings the result.
	Resolve struct{ Peer string }
	// Notice is an event for people, logs and tests.
	Notice struct {
		Level  Level
		Peer   string
		Child  string
		Event  string // a fixed word: "ike-up", "ike-down", "child-up", "child-down", "ike-rekeyed", "child-rekeyed", "auth-failed", ...
		Text   string // the sentence, escaped, without secrets
		IKESPI wire.SPI
		SPIIn  uint32
	}
	// Done answers the command of the same Ref; Err is nil when it succeeded, and otherwise says why in words.
	Done struct {
		Ref uint64
		Err error
	}
	// Stopped says that Shutdown has finished.
	Stopped struct{}
)

// Level is a Notice's weight.
type Level uint8

// Levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

func (Send) isEffect()               {}
func (Compute) isEffect()            {}
func (InstallInbound) isEffect()     {}
func (ActivateOutbound) isEffect()   {}
func (DeactivateOutbound) isEffect() {}
func (RemoveSA) isEffect()           {}
func (SetEndpoint) isEffect()        {}
func (NeedTraffic) isEffect()        {}
func (AcquireFailed) isEffect()      {}
func (PathProbed) isEffect()         {}
func (Resolve) isEffect()            {}
func (Notice) isEffect()             {}
func (Done) isEffect()               {}
func (Stopped) isEffect()            {}
