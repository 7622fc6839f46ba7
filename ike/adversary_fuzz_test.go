package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"culvert/ike/adversary"
	"culvert/ike/wire"
)

// duelScript is octets that choose what happens in a duel. When they are used up, all is 0.
type duelScript struct {
	octets []byte
	d      *duel
	kept   [][]byte // datagrams of the adversary that may come again
	armed  int      // messages that are still to be changed
}

func (s *duelScript) next() byte {
	if len(s.octets) == 0 {
		return 0
	}
	b := s.octets[0]
	s.octets = s.octets[1:]
	return b
}

// choose changes the next messages of the adversary, as many as are armed.
func (s *duelScript) choose(adversary.Stage) adversary.Move {
	if s.armed == 0 {
		return adversary.Move{Datagrams: s.keep}
	}
	s.armed--
	m := adversary.Move{Datagrams: s.keep}
	switch kind, value := s.next()%6, s.next(); kind {
	case 0:
		m.Pieces = func(ps []adversary.Piece) []adversary.Piece { return s.changed(ps, value) }
	case 1:
		m.Header = func(h *wire.Header) { s.header(h, value) }
	case 2:
		m.Trailer = []byte{s.next(), value}
	case 3:
		m.Parts = func(w adversary.Part) []adversary.Part { return s.parts(w, int(value)) }
	case 4:
		m.Datagrams = func(list [][]byte) [][]byte { return s.keep(s.flipped(list, value)) }
	case 5:
		m.Before = func(list [][]byte) [][]byte { return s.flipped(list, value) }
	}
	return m
}

func (s *duelScript) keep(list [][]byte) [][]byte {
	s.kept = append(s.kept, list...)
	s.kept = s.kept[max(0, len(s.kept)-16):]
	return list
}

// changed changes one payload.
func (s *duelScript) changed(ps []adversary.Piece, how byte) []adversary.Piece {
	if len(ps) == 0 {
		return append(ps, adversary.Piece{Type: wire.PayloadType(how)})
	}
	i := int(s.next()) % len(ps)
	p := &ps[i]
	switch how % 8 {
	case 0:
		return slices.Delete(ps, i, i+1)
	case 1:
		return append(ps, ps[i])
	case 2:
		p.Type = wire.PayloadType(s.next())
	case 3:
		p.Flags = s.next()
	case 4:
		p.Lie = int(int8(s.next()))
	case 5:
		p.Body = p.Body[:len(p.Body)*int(s.next())/256]
	case 6:
		p.Body = append(p.Body, slices.Repeat([]byte{s.next()}, int(s.next()))...)
	case 7:
		if at := int(s.next()); at < len(p.Body) {
			p.Body[at] = s.next()
		}
	}
	return ps
}

func (s *duelScript) header(h *wire.Header, how byte) {
	switch how % 6 {
	case 0:
		h.Exchange = wire.ExchangeType(s.next())
	case 1:
		h.MessageID += uint32(int32(int8(s.next())))
	case 2:
		h.Initiator = !h.Initiator
	case 3:
		h.Response = !h.Response
	case 4:
		h.MajorVersion, h.MinorVersion = s.next()>>4, s.next()>>4
	case 5:
		h.ResponderSPI ^= wire.SPI(s.next())
	}
}

// parts cuts a content into fragments, with numbers that may be wrong.
func (s *duelScript) parts(w adversary.Part, size int) []adversary.Part {
	list := adversary.Cut(w, size+8)
	for range s.next() % 4 {
		p := list[int(s.next())%len(list)]
		switch s.next() % 4 {
		case 0:
			list = append(list, p)
		case 1:
			p.Number = uint16(s.next())
			list = append(list, p)
		case 2:
			p.Total = uint16(s.next())
			list = append(list, p)
		case 3:
			list = append([]adversary.Part{p}, list...)
		}
	}
	return list
}

// flipped changes the datagrams after encryption.
func (s *duelScript) flipped(list [][]byte, how byte) [][]byte {
	for i, data := range list {
		if len(data) == 0 {
			continue
		}
		at := int(s.next()) * len(data) / 256
		if how%2 == 0 {
			data[at] ^= how
		} else {
			list[i] = data[:at]
		}
	}
	return list
}

// step does one thing.
func (s *duelScript) step() {
	d, op := s.d, s.next()
	arg := int(op >> 4)
	switch op % 16 {
	case 0:
		s.armed = arg
	case 1:
		d.send(d.peer.Connect())
	case 2:
		d.right.connect([]string{"lan", "two"}[arg%2])
	case 3:
		d.right.rekey([]string{"lan", "two", ""}[arg%3])
	case 4:
		d.right.disconnect([]string{"lan", "two", ""}[arg%3])
	case 5:
		d.hold = true
	case 6:
		d.release(arg%4, arg/4)
	case 7:
		if len(s.kept) > 0 {
			d.send(s.kept[arg%len(s.kept):][:1])
		}
	case 8:
		d.right.traffic([]string{"lan", "two"}[arg%2])
	case 9:
		d.drive(time.Duration(arg) * 5 * time.Second)
	case 10:
		d.drive(time.Duration(arg) * 5 * time.Minute)
	default:
		if sa := d.peer.Current(); sa != nil {
			s.ask(sa, op%16, arg)
		}
	}
	d.drive(5 * time.Millisecond)
}

// ask has the adversary ask for something on an IKE SA.
func (s *duelScript) ask(sa *adversary.SA, what byte, arg int) {
	d, children := s.d, sa.Live()
	if len(children) == 0 && what > 12 {
		what = 11
	}
	switch what {
	case 11:
		d.send(d.peer.NewChild(sa))
	case 12:
		switch arg % 3 {
		case 0:
			d.send(d.peer.RekeyIKE(sa))
		case 1:
			d.send(d.peer.DeleteIKE(sa))
		case 2:
			d.send(d.peer.Probe(sa))
		}
	case 13:
		d.send(d.peer.RekeyChild(sa, children[arg%len(children)]))
	case 14:
		d.send(d.peer.DeleteChild(sa, children[arg%len(children)]))
	case 15:
		d.peer.Local, d.peer.Remote = tsOf([]string{"0.0.0.0/0", "10.1.0.0/24", "10.1.1.0/24"}[arg%3]), tsOf([]string{"0.0.0.0/0", "10.2.0.0/24", "10.2.1.0/25"}[arg/3%3])
	}
}

// FuzzAdversary has octets choose what the adversary does, step by step, which of its messages are
// changed and how, what the engine is told to do, and when. Without the credential it does not get
// in; with it, all ends well.
func FuzzAdversary(f *testing.F) {
	f.Add(true, []byte{1, 9, 11, 12, 13, 14, 0x2c, 0x1c})
	f.Add(true, []byte{2, 0x13, 5, 0x23, 13, 6, 9, 0x46})
	f.Add(true, []byte{1, 0x10, 0, 2, 1, 45, 1, 0x10, 3, 8, 2, 0, 1, 11})
	f.Add(false, []byte{1, 2, 0x20, 0, 0, 1, 1, 0, 7, 2, 0, 1})
	f.Add(true, []byte{1, 15, 11, 0x35, 13, 0x17, 0x27, 0x37, 9})
	f.Fuzz(func(t *testing.T, honest bool, octets []byte) { playScript(t, honest, octets, "the script") })
}

// playScript has the octets choose what happens in a duel.
func playScript(t *testing.T, honest bool, octets []byte, what string) {
	d := newDuel(t, func(_ *testPair, c *adversary.Config) {
		if !honest {
			c.PSK = []byte("another secret")
		}
	})
	d.honest = honest
	d.limits = [4]int{64, 64, 64, 4000}
	s := &duelScript{octets: octets, d: d}
	d.peer.Choose = s.choose
	for range 60 {
		if len(s.octets) == 0 {
			break
		}
		s.step()
	}
	d.peer.Choose = nil
	d.hold = false
	d.drive(10 * time.Minute)
	d.wantFinished(what)
}

// TestAdversaryAtRandom plays scripts as FuzzAdversary does, one for each seed, by the flags of
// TestSimulation.
func TestAdversaryAtRandom(t *testing.T) {
	first, count := *simFirst, *simSeeds
	if *simSeed != 0 {
		first, count = *simSeed, 1
	}
	if testing.Short() {
		count = min(count, 100)
	}
	for seed := first; seed < first+uint64(count) && !t.Failed(); seed++ {
		octets := make([]byte, 100)
		random := seededRand(seed, "script")
		random.Read(octets)
		playScript(t, octets[0]%4 != 0, octets[1:1+int(octets[0])%100], fmt.Sprintf("seed %d", seed))
	}
}

// FuzzDecrypted has the adversary send octets as the decrypted content of a message in any stage,
// in place of what an honest peer sends.
func FuzzDecrypted(f *testing.F) {
	for stage := range adversary.Stages {
		d := newDuel(f, nil)
		d.choose(stage, adversary.Move{Parts: func(w adversary.Part) []adversary.Part {
			f.Add(byte(stage), byte(w.First), w.Plain)
			return []adversary.Part{w}
		}})
		d.play(stage)
	}
	f.Fuzz(func(t *testing.T, at, first byte, plain []byte) {
		if len(plain) > 8000 {
			return
		}
		stage := adversary.Stage(at) % adversary.Stages
		d := newDuel(t, nil)
		d.limits = [4]int{16, 16, 32, 1000}
		d.choose(stage, adversary.Move{
			Parts: func(w adversary.Part) []adversary.Part {
				d.honest = d.honest && keepsProof(w, plain)
				return []adversary.Part{{First: wire.PayloadType(first), Plain: plain}}
			},
			Datagrams: func(list [][]byte) [][]byte {
				if stage.Protected() {
					return list
				}
				head := slices.Clone(list[0][:wire.HeaderLen])
				head[16] = first
				binary.BigEndian.PutUint32(head[24:], uint32(len(head)+len(plain)))
				return [][]byte{append(head, plain...)}
			},
		})
		d.play(stage)
		d.wantFinished(stage.String())
	})
}

// keepsProof reports whether a content has the proof of the genuine one, if that has any.
func keepsProof(w adversary.Part, plain []byte) bool {
	ps, err := wire.ParsePayloads(w.First, w.Plain)
	auth, ok := wire.Find[*wire.Auth](ps)
	return err != nil || !ok || bytes.Contains(plain, auth.Data)
}

// FuzzFragments has octets choose the fragments of a message: each three are a number, a total and
// what is in it. Whatever comes, no more is held than may be, and the genuine fragments that follow
// under the next message ID are taken.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{1, 2, 10, 2, 2, 10})
	f.Add([]byte{2, 2, 200, 1, 2, 0, 1, 1, 255})
	f.Add([]byte{0, 0, 0, 5, 4, 1, 255, 255, 255, 1, 255, 9})
	f.Fuzz(func(t *testing.T, octets []byte) {
		d := newDuel(t, nil)
		d.limits = [4]int{16, 16, 32, 1000}
		d.choose(adversary.NewChildRequest, adversary.Move{Parts: func(w adversary.Part) (list []adversary.Part) {
			for ; len(octets) >= 3 && len(list) < 300; octets = octets[3:] {
				at := int(octets[2]) * len(w.Plain) / 256
				p := adversary.Part{Number: uint16(octets[0]), Total: uint16(octets[1]), SKF: true, Plain: w.Plain[at:]}
				if octets[0]%8 == 1 {
					p.First = w.First
				}
				list = append(list, p)
			}
			return append(list, adversary.Cut(w, 30)...)
		}})
		d.play(adversary.NewChildRequest)
		for _, s := range d.right.e.peers.order[0].party.sas {
			if n := s.win.Fragments(wire.Header{}).Held(); n > 1<<17 {
				t.Fatalf("%d octets of fragments are held", n)
			}
		}
		d.wantFinished("fragments")
	})
}
