package ike

import (
	"fmt"

	"culvert/ike/identity"
)

// Level is the severity of a Notice.
type Level uint8

// Levels.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

// notice reports an event of the IKE SA.
func (s *ikeSA) notice(level Level, event, text string) {
	n := Notice{Level: level, Event: event, Text: identity.Printable(text), IKESPI: s.ours()}
	if s.party == nil {
		s.e.emit(n)
		return
	}
	n.Peer, n.Party = s.party.cfg.Name, s.party.name
	s.party.tell(n)
}

func (p *party) notice(level Level, event, child, text string) {
	p.tell(Notice{Level: level, Peer: p.cfg.Name, Party: p.name, Child: child, Event: event, Text: identity.Printable(text)})
}

// tell emits a notice of the party, unless there were too many.
func (p *party) tell(n Notice) {
	more, ok := p.lines.Allow(p.e.handling.now)
	if !ok {
		p.e.count("ike_lines_limited")
		return
	}
	if more > 0 {
		n.Text += fmt.Sprintf(" (and %d lines of this peer were left out before)", more)
	}
	p.e.emit(n)
}
