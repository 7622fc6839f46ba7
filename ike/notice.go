package ike

import (
	"fmt"

	"culvert/ike/identity"
	"culvert/ike/reason"
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

// tells gives a notice the words of a failure.
func (n *Notice) tells(t reason.Trouble) {
	if n.Text = t.Reason; t.Cause != "" {
		n.Failure = &t
	}
}

// fails reports a failed negotiation of the party.
func (p *party) fails(event string, t reason.Trouble) {
	n := Notice{Level: Warn, Peer: p.cfg.Name, Party: p.name, Event: event}
	n.tells(t)
	p.tell(n)
}

// fails reports a failed negotiation on the IKE SA.
func (s *ikeSA) fails(event string, t reason.Trouble) {
	n := Notice{Level: Warn, Event: event, IKESPI: s.ours()}
	n.tells(t)
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
