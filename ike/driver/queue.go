package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"culvert/ike"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// class is the urgency of a datagram and of the computations that follow from it.
type class uint8

// Classes of datagrams. A flood of one class fills only its own queue.
const (
	classEstablished class = iota // the others: of established SAs, or answers to our own requests
	classAuth                     // IKE_AUTH and IKE_INTERMEDIATE requests: of half-open SAs
	classInit                     // IKE_SA_INIT requests, and datagrams too short for a header: of no SA yet
	numClasses
)

// Bounds of each queue.
const (
	queueLen   = 512
	queueBytes = 2 << 20
)

// A queue holds the datagrams of one class that wait for the control goroutine.
type queue struct {
	datagrams chan datagram
	bytes     atomic.Int64
	dropped   atomic.Uint64
}

type datagram struct {
	path  ipsec.Path
	class class
	data  []byte
}

// classify reads the header's Exchange Type and Response flag. Both can be forged: they only choose
// a queue.
func classify(data []byte) class {
	if len(data) < wire.HeaderLen {
		return classInit
	}
	const exchangeOffset, flagsOffset, responseFlag = 18, 19, 1 << 5
	if data[flagsOffset]&responseFlag != 0 {
		return classEstablished
	}
	switch wire.ExchangeType(data[exchangeOffset]) {
	case wire.IKESAInit:
		return classInit
	case wire.IKEAuth, wire.IKEIntermediate:
		return classAuth
	}
	if binary.BigEndian.Uint64(data[8:]) == 0 { // no responder's SPI: of no SA
		return classInit
	}
	return classEstablished
}

// Deliver queues an IKE datagram that came on a path, without its non-ESP marker. It copies data
// and never blocks. It returns false if the queue is full or the driver has ended; the datagram is
// then dropped and counted.
func (d *Driver) Deliver(from ipsec.Path, data []byte) bool {
	c := classify(data)
	q := &d.queues[c]
	size := int64(len(data))
	// The test of the length saves copies of datagrams that a flood would only have dropped.
	if q.bytes.Add(size) <= queueBytes && len(q.datagrams) < queueLen && !d.ended() {
		select {
		case q.datagrams <- datagram{path: from, class: c, data: bytes.Clone(data)}:
			return true
		default:
		}
	}
	q.bytes.Add(-size)
	q.dropped.Add(1)
	return false
}

func (d *Driver) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// datagram feeds one datagram to the engine.
func (d *Driver) datagram(dg datagram) {
	d.queues[dg.class].bytes.Add(-int64(len(dg.data)))
	d.trace("ike-received", dg.path, dg.data)
	d.handle(ike.Datagram{Path: dg.path, Data: dg.data}, dg.class)
}

// Bounds of the pause after a read that failed.
const (
	minReadPause = 10 * time.Millisecond
	maxReadPause = time.Second
)

// read delivers the datagrams of the control plane's sockets until the transport is closed.
func (d *Driver) read() {
	buf := make([]byte, 1<<16)
	pause := minReadPause
	for {
		n, from, err := d.cfg.Transport.ReadIKE(buf)
		switch {
		case err == nil:
			pause = minReadPause
			d.Deliver(from, buf[:n])
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// The kernel also reports errors of earlier sends here: count, pause and go on.
			d.counts.readErrors.Add(1)
			select {
			case <-time.After(pause):
			case <-d.done:
				return
			}
			pause = min(2*pause, maxReadPause)
		}
	}
}

// Messages of established SAs go before those of new peers, except in every turn divisible by
// fairTurn, so that neither a flood of IKE_SA_INIT stops rekeys nor a flood of junk stops new
// peers.
const fairTurn = 8

// turn begins a turn of the loop, and returns the queues of datagrams that it may take from; nil:
// not this time.
func (d *Driver) turn() (established, auth, init <-chan datagram) {
	established, auth, init = d.queues[classEstablished].datagrams, d.queues[classAuth].datagrams, d.queues[classInit].datagrams
	d.loop.turns++
	if d.loop.pool.newcomersFull() || len(established) > 0 && d.loop.turns%fairTurn != 0 {
		return established, nil, nil
	}
	return established, auth, init
}
