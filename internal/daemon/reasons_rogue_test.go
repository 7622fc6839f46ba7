package daemon

import (
	"crypto/rand"
	"net/netip"
	"testing"

	"culvert/ike/adversary"
	"culvert/ike/proposal/proposaltest"
	"culvert/ike/suite"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// A rogue is the adversary at the right side's address.
type rogue struct {
	*adversary.Peer
	left *end
	// answer, unless nil, has the datagrams to answer one with, in place of the adversary.
	answer func(r *rogue, data []byte) [][]byte
}

func newRogue(t *testing.T, left *end) *rogue {
	ts := func(start, last string) []wire.TrafficSelector {
		return []wire.TrafficSelector{{EndPort: 65535, Start: netip.MustParseAddr(start), End: netip.MustParseAddr(last)}}
	}
	r := &rogue{left: left, Peer: &adversary.Peer{Config: adversary.Config{
		Rand: rand.Reader, Groups: suite.SystemGroups{}, PSK: []byte(theSecret),
		ID:  wire.ID{IDType: wire.IDFQDN, Data: []byte("right.example.com")},
		IKE: proposaltest.Parse(t, "ike gcm256 prf256 x25519")[0], ESP: proposaltest.Parse(t, "esp gcm128 noesn")[0],
		Local: ts("10.2.0.0", "10.2.255.255"), Remote: ts("10.1.0.0", "10.1.255.255"),
	}}}
	left.to = func(p packet) {
		list := r.Receive(p.data)
		if r.answer != nil {
			list = r.answer(r, p.data)
		}
		for _, data := range list {
			r.sendAt(data, p.path.Remote().Port(), p.path.Via())
		}
	}
	return r
}

// send sends datagrams of the adversary.
func (r *rogue) send(list [][]byte) {
	for _, data := range list {
		r.sendAt(data, 500, ipsec.UDP)
	}
}

func (r *rogue) sendAt(data []byte, port uint16, via *ipsec.Transport) {
	from, to := netip.AddrPortFrom(netip.MustParseAddr(rightAddr), port), netip.AddrPortFrom(r.left.addr, port)
	r.left.take(packet{ipsec.NewPath(via, from, to, 0), data})
}

// edits changes the payloads of a stage.
func (r *rogue) edits(stage adversary.Stage, f func(ps []adversary.Piece) []adversary.Piece) {
	r.Choose = func(s adversary.Stage) adversary.Move {
		if s != stage {
			return adversary.Move{}
		}
		return adversary.Move{Pieces: f}
	}
}

// refuses answers a stage with an error alone.
func refuses(stage adversary.Stage, kind wire.NotifyType, data ...byte) func(*rogue) {
	return func(r *rogue) {
		r.edits(stage, func([]adversary.Piece) []adversary.Piece {
			return adversary.PiecesOf(&wire.Notify{Kind: kind, Data: data})
		})
	}
}

// refusesChild answers IKE_AUTH with an error in place of the Child SA.
func refusesChild(kind wire.NotifyType) func(*rogue) {
	return func(r *rogue) {
		r.edits(adversary.AuthResponse, func(ps []adversary.Piece) (list []adversary.Piece) {
			for _, p := range ps {
				if p.Type == wire.PayloadIDr || p.Type == wire.PayloadAuth {
					list = append(list, p)
				}
			}
			return append(list, adversary.PiecesOf(&wire.Notify{Kind: kind})...)
		})
	}
}

// notifies answers IKE_SA_INIT with a notify, each time.
func notifies(kinds func(times int) *wire.Notify) func(*rogue) {
	return func(r *rogue) {
		times := 0
		r.answer = func(_ *rogue, data []byte) [][]byte {
			m, err := wire.Parse(data)
			if err != nil || m.Exchange != wire.IKESAInit {
				return nil
			}
			times++
			answer := wire.Message{
				Header:   wire.Header{InitiatorSPI: m.InitiatorSPI, Exchange: wire.IKESAInit, Response: true, MessageID: m.MessageID},
				Payloads: []wire.Payload{kinds(times)},
			}
			return [][]byte{answer.AppendTo(nil)}
		}
	}
}

// always is a notify for notifies.
func always(kind wire.NotifyType, data ...byte) func(int) *wire.Notify {
	return func(int) *wire.Notify { return &wire.Notify{Kind: kind, Data: data} }
}

// ikev1 makes the datagram one of IKEv1, Identity Protection (RFC 2408, Section 3.1).
func ikev1(data []byte) []byte {
	data[17], data[18] = 0x10, 2
	return data
}
