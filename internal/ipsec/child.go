// Package ipsec holds the words that the control plane and the dataplane share: policies, Child SA
// pairs, their paths, and the events about them. It only holds values.
package ipsec

import (
	"time"

	"culvert/esp"
	"culvert/selector"
)

// ChildID identifies a Child SA pair within a daemon, for its whole life. IDs grow: of two pairs of
// one policy the larger ID is the newer, so that a late effect of a lost rekey collision can be
// ignored.
type ChildID uint64

// A ChildSA is a negotiated or manually keyed SA pair, as the control plane hands it to the
// dataplane. Keys hold the cipher key, then the salt. It is immutable, and the receiver may keep
// it, except for the keys: the receiver makes its ciphers from them before it returns, after which
// their owner may clear them.
type ChildSA struct {
	ID     ChildID
	Policy PolicyID
	Name   PolicyName // of the policy

	SPIIn, SPIOut uint32 // zero: this direction is absent (one-way manual SA)
	KeyIn, KeyOut []byte
	Cipher        esp.Cipher
	ESN           bool
	// IVStart is added to the sequence number (modulo 2^64) to make the IV. It is zero for
	// negotiated keys; see esp.SA for manual ones.
	IVStart      uint64
	ReplayWindow int // packets; zero: no replay protection
	State        esp.State
	Allowed      uint64 // the last sequence number that may be used until it is allowed; zero: all may

	Path Path // of the pair's packets
	// LocalTS and RemoteTS are the negotiated selectors: source and destination of outbound inner
	// packets (RFC 4301, Section 4.4.2).
	LocalTS, RemoteTS []selector.Selector
	Limits            esp.Limits

	// Resource is the worker that the pair is for, counted from 1 (RFC 9611). With 0 any worker may
	// send on it.
	Resource int
	// PerResource reports that the peer makes pairs for single workers: a worker that is busy on a
	// pair of another asks for its own (EventAcquire).
	PerResource bool
	// OtherPorts reports that both sides may send the pair's packets in UDP from other ports than
	// that of the path: where they come from tells nothing of where the peer is.
	OtherPorts bool
	// Hosts are the two ends of a pair in transport mode. They are unset in tunnel mode.
	Hosts Hosts
}

// ClearKeys overwrites the key material, and with it all copies of the ChildSA, which share its
// memory.
func (sa *ChildSA) ClearKeys() {
	clear(sa.KeyIn)
	clear(sa.KeyOut)
}

// Inbound returns the pair's receiving direction. Its key is the pair's.
func (sa *ChildSA) Inbound() *esp.SA {
	in := sa.direction()
	in.SPI, in.Key = sa.SPIIn, sa.KeyIn
	return in
}

// Outbound returns the pair's sending direction. Its key is the pair's.
func (sa *ChildSA) Outbound() *esp.SA {
	out := sa.direction()
	out.SPI, out.Key = sa.SPIOut, sa.KeyOut
	return out
}

// direction returns what both directions have in common.
func (sa *ChildSA) direction() *esp.SA {
	return &esp.SA{Cipher: sa.Cipher, ESN: sa.ESN, IVStart: sa.IVStart, ReplayWindow: sa.ReplayWindow, State: sa.State, Allowed: sa.Allowed, Limits: sa.Limits}
}

// A Traffic is when packets were last seen on a Child SA pair; zero: never.
type Traffic struct {
	In, Out time.Time
	// Answered is when an answer to a probe last came, on any pair of the policy. Only that shows
	// that packets arrive at the peer: what else comes may have been sent unasked.
	Answered time.Time
}
