package esp

import (
	"fmt"
	"math"
	"sync/atomic"
)

// Inbound is an SA that we receive with. All of it is safe for concurrent use, with a Scratch for each goroutine; save Clear.
type Inbound struct {
	keyed
	limits thresholds
	window window

	packets atomic.Uint64
	octets  atomic.Uint64
	_       [cacheLine]byte
}

// NewInbound makes the receiving direction of sa, of which it keeps nothing but what it needs. SPIIn, KeyIn, Cipher and ReplayWindow must fit: see ErrSPI, ErrKey,
// ErrCipher, ErrWindow. A ReplayWindow of 0 is no replay protection; otherwise it is from MinWindow to MaxWindow.
func NewInbound(sa *ChildSA) (*Inbound, error) {
	if w := sa.ReplayWindow; w != 0 && (w < MinWindow || w > MaxWindow) {
		return nil, fmt.Errorf("%w: %d packets, must be 0 or %d to %d", ErrWindow, w, MinWindow, MaxWindow)
	}
	k, err := newKeyed(sa.SPIIn, sa.Cipher, sa.KeyIn, sa.ESN)
	if err != nil {
		return nil, err
	}
	// Without a window nothing says how many packets there can be.
	last := lastSequence(sa.ESN)
	if sa.ReplayWindow == 0 {
		last = math.MaxUint64
	}
	in := &Inbound{keyed: k, limits: newThresholds(sa.Limits, last)}
	in.window.init(sa.ReplayWindow)
	return in, nil
}

// SPI is the SPI that packets come with.
func (in *Inbound) SPI() uint32 { return in.spi }

// Used is what Accept counted so far.
func (in *Inbound) Used() Usage { return Usage{Packets: in.packets.Load(), Octets: in.octets.Load()} }

// Clear forgets the key. It is for when no goroutine can be using the SA any more: one that still did would panic. The keys in the ChildSA are its owner's to clear.
func (in *Inbound) Clear() { in.clear() }
