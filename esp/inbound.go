package esp

import (
	"fmt"
	"math"
)

// An Inbound is the receiving direction of an SA. Its methods are safe for concurrent use with a
// Scratch for each goroutine, except Clear.
type Inbound struct {
	keyed
	limits thresholds
	window window

	used usageCounter
	_    [cacheLine - 24]byte // two words of used, which are seldom written, are the rest
}

// NewInbound returns the receiving direction of sa, and keeps no reference to sa. ReplayWindow is 0
// for no replay protection, or from MinWindow to MaxWindow. Bad values give ErrSPI, ErrKey,
// ErrCipher or ErrWindow.
func NewInbound(sa *SA) (*Inbound, error) {
	if w := sa.ReplayWindow; w != 0 && (w < MinWindow || w > MaxWindow) {
		return nil, fmt.Errorf("%w: %d packets, must be 0 or %d to %d", ErrWindow, w, MinWindow, MaxWindow)
	}
	k, err := newKeyed(sa.SPI, sa.Cipher, sa.Key, sa.ESN)
	if err != nil {
		return nil, err
	}
	// Without a window the number of packets has no limit.
	last := lastSequence(sa.ESN)
	if sa.ReplayWindow == 0 {
		last = math.MaxUint64
	}
	in := &Inbound{keyed: k, limits: newThresholds(sa.Limits, last)}
	in.window.init(sa.ReplayWindow)
	in.put(sa.State)
	return in, nil
}

// SPI returns the SPI of the packets.
func (in *Inbound) SPI() uint32 { return in.spi }

// Used returns what Accept has counted.
func (in *Inbound) Used() Usage { return in.used.load() }

// Clear forgets the key. No goroutine may use the SA any more: one that did would panic. The keys
// in the SA remain for their owner to clear.
func (in *Inbound) Clear() { in.clear() }
