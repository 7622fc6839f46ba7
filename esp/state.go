package esp

import "math/bits"

// A State is what an SA pair that is taken out needs, beside its keys, to go on where it stopped:
// in another process, at another member of a cluster (RFC 6311), or under another configuration.
// The zero State is that of a new pair.
//
// With the state of a pair goes the duty that the pair itself sends nothing more. If that is not
// certain, Skip must be used, and the IVs must not repeat either (SA.IVStart).
type State struct {
	Sent     Usage  // Packets is the last sequence number that was reserved
	Received Usage  // what was accepted
	Highest  uint64 // the highest sequence number that was accepted; those up to it are refused
}

// Skip returns the state with n sequence numbers left out, for packets that may still be sent with
// them.
func (s State) Skip(n uint64) State {
	sum, carry := bits.Add64(s.Sent.Packets, n, 0)
	if carry != 0 {
		sum = ^uint64(0)
	}
	s.Sent.Packets = sum
	return s
}

// put sets the state of a new outbound SA. What lies beyond the end leaves it exhausted.
func (o *Outbound) put(s State) {
	o.seq.Store(min(s.Sent.Packets, o.limits.hardPackets))
	o.octets.Store(s.Sent.Octets)
}

// put sets the state of a new inbound SA.
func (in *Inbound) put(s State) {
	in.used.store(s.Received)
	in.window.put(s.Highest)
}

// Highest returns the highest sequence number that was accepted, or 0. Without a replay window it
// is the end of its block of numbers.
func (in *Inbound) Highest() uint64 { return in.window.highest() }

// highest returns the highest number that was accepted.
func (w *window) highest() uint64 {
	block := w.top.Load()
	if len(w.ring) == 0 {
		if block == 0 {
			return 0
		}
		return block<<blockShift | blockMask
	}
	word := w.word(block).Load()
	if set := taken(word, block); set != 0 {
		return block<<blockShift | uint64(bits.Len32(set)-1)
	}
	return 0 // a new window
}

// put has a new window refuse all numbers up to highest.
func (w *window) put(highest uint64) {
	if highest == 0 {
		return
	}
	block := highest >> blockShift
	w.top.Store(block)
	for i := range min(uint64(len(w.ring)), block+1) {
		set := uint32(1<<blockBits - 1)
		if i == 0 {
			set >>= blockMask - highest&blockMask
		}
		w.word(block - i).Store((block-i)<<32 | uint64(set))
	}
}
