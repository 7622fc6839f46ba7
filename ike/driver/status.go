package driver

import (
	"context"

	"culvert/ike"
)

// statusPart is the number of peers per command of Status: other inputs are handled between the
// parts of a large snapshot.
const statusPart = 256

// Status returns a snapshot of every configured peer, and the counters of the engine and the
// driver; their names begin with "ike_".
func (d *Driver) Status(ctx context.Context) (peers []ike.PeerStatus, counters map[string]uint64, err error) {
	return d.snapshot(ctx, d.cfg.Engine.StatusPart)
}

// StatusOfAll is Status for one peer with its parties, or for one party, by the name that commands
// use for it. Without such a one the list is empty.
func (d *Driver) StatusOfAll(ctx context.Context, name string) (peers []ike.PeerStatus, counters map[string]uint64, err error) {
	return d.snapshot(ctx, func(from ike.Mark, n int) ([]ike.PeerStatus, ike.Mark) {
		return d.cfg.Engine.StatusOfPart(name, from, n)
	})
}

// Gauges is Status with what metrics need, in parts: take is called with each, on the caller's
// goroutine, and must not keep it.
func (d *Driver) Gauges(ctx context.Context, take func(*ike.Gauges)) (counters map[string]uint64, err error) {
	var part ike.Gauges
	return d.inParts(ctx, func(from ike.Mark) ike.Mark { return d.cfg.Engine.GaugesPart(from, statusPart, &part) }, func() { take(&part) })
}

// snapshot puts a snapshot together from parts.
func (d *Driver) snapshot(ctx context.Context, more func(from ike.Mark, n int) ([]ike.PeerStatus, ike.Mark)) (peers []ike.PeerStatus, counters map[string]uint64, err error) {
	var part []ike.PeerStatus
	counters, err = d.inParts(ctx, func(from ike.Mark) (next ike.Mark) {
		part, next = more(from, statusPart)
		return next
	}, func() { peers = append(peers, part...) })
	if err != nil {
		return nil, nil, err
	}
	return peers, counters, nil
}

// inParts calls more on the control goroutine for each part of a snapshot, and then take on the
// caller's. It returns the counters as they were with the first part.
func (d *Driver) inParts(ctx context.Context, more func(from ike.Mark) ike.Mark, take func()) (counters map[string]uint64, err error) {
	for next, first := (ike.Mark{}), true; first || next != (ike.Mark{}); first = false {
		err = d.call(ctx, func() {
			if first {
				d.handle(ike.Wake{}, classEstablished) // updates the engine's time, for "next try in 12 s"
				counters = d.cfg.Engine.Counters()
			}
			next = more(next)
		})
		if err != nil {
			return nil, err
		}
		take()
	}
	if counters == nil {
		counters = map[string]uint64{}
	}
	d.counts.addTo(counters)
	counters["ike_dropped_queue_established"] += d.queues[classEstablished].dropped.Load()
	counters["ike_dropped_queue_auth"] += d.queues[classAuth].dropped.Load()
	counters["ike_dropped_queue_init"] += d.queues[classInit].dropped.Load()
	return counters, nil
}

// StatusOf returns a snapshot of one peer; ok is false if the engine has no peer of that name.
func (d *Driver) StatusOf(ctx context.Context, peer string) (st ike.PeerStatus, ok bool, err error) {
	err = d.call(ctx, func() {
		d.handle(ike.Wake{}, classEstablished)
		st, ok = d.cfg.Engine.StatusOf(peer)
	})
	return st, ok, err
}

func (c *counts) addTo(m map[string]uint64) {
	m["ike_panic"] += c.panics.Load()
	m["ike_compute_panic"] += c.computePanics.Load()
	m["ike_send_error"] += c.sendErrors.Load()
	m["ike_read_error"] += c.readErrors.Load()
	m["ike_install_error"] += c.installErrors.Load()
}
