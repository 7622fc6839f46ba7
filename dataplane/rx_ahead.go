package dataplane

import (
	"culvert/dataplane/netio"
	"culvert/esp"
)

// lookAhead is the SAs of the messages of a burst, each by the first datagram of the message. With
// many peers at the same time an SA comes from memory, not from a cache: looked up together, the
// SAs of a burst come at once, not one after another with the work for a packet in between.
type lookAhead struct {
	n     int // messages; 0: nothing was looked up
	at    int // the message in hand
	spis  [maxReceives]uint32
	pairs [maxReceives]*pair // nil: none has the SPI
}

// look looks the SAs of messages up.
func (l *lookAhead) look(s *sad, in []netio.Received) {
	l.n = len(in)
	for i := range in {
		l.spis[i] = 0 // no SA has it
		if in[i].Kind == netio.ESP {
			l.spis[i], _ = esp.SPI(in[i].Data)
		}
	}
	s.findAll(l.spis[:l.n], l.pairs[:l.n])
}

// find returns the pair of an SPI of the message in hand, or nil.
func (l *lookAhead) find(s *sad, spi uint32) *pair {
	if l.n > 0 && l.spis[l.at] == spi {
		return l.pairs[l.at]
	}
	return s.find(spi)
}

// forget ends the burst. No SA that was removed is kept alive.
func (l *lookAhead) forget() {
	clear(l.pairs[:l.n])
	l.n = 0
}
