package ike

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"culvert/ike/child"
	"culvert/ike/timer"
	"culvert/ike/wire"
	"culvert/selector"
)

// RFC 9611: Child SAs for single workers beside the one that all share.

// withWorkers sets the number of workers of both sides, and lets them announce it.
func withWorkers(left, right int) func(p *testPair) {
	return func(p *testPair) {
		p.left.config.Resources, p.right.config.Resources = left, right
		for _, s := range []*testSide{p.left, p.right} {
			s.peers[0].PerResource, s.peers[0].DPD = true, 0
		}
	}
}

// upWithWorkers is a tunnel with one Child SA, its messages scripted.
func upWithWorkers(t *testing.T, left, right int, more func(p *testPair)) *testPair {
	t.Helper()
	p := newPair(t, 1, func(p *testPair) {
		withWorkers(left, right)(p)
		if more != nil {
			more(p)
		}
	})
	ref := p.left.connect("lan")
	p.drive(2 * time.Second)
	p.wantDone(p.left, ref, "")
	p.wantPairs("lan", 1)
	p.script(true)
	return p
}

// wantPairs checks that the child has n pairs, each of which is on both sides.
func (p *testPair) wantPairs(child string, n int) {
	p.t.Helper()
	for _, s := range []*testSide{p.left, p.right} {
		mine := s.plane.ofPolicy(s.policy(child))
		if len(mine) != n {
			p.fatalf("child %s: %s has %d pairs, want %d", child, s.name, len(mine), n)
		}
		for _, psa := range mine {
			if why := s.unlike(psa, s.other().plane.inbound[psa.sa.SPIOut]); why != "" {
				p.fatalf("child %s: %s", child, why)
			}
		}
	}
	p.wantSound()
}

// wantSender checks whose SA a worker sends on: its own, or with 0 the one for all.
func (p *testPair) wantSender(s *testSide, worker, resource int) *planeSA {
	p.t.Helper()
	psa := s.plane.sender(s.policy("lan"), worker)
	if psa == nil || psa.sa.Resource != resource {
		p.fatalf("%s: worker %d sends on %+v, want that of worker %d", s.name, worker, psa, resource)
	}
	return psa
}

const (
	furtherRequest  = "SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)"
	furtherResponse = "SA, Nonce, TSi, TSr, N(SA_RESOURCE_INFO)"
)

// further lets a worker's traffic ask for a Child SA, up to the answer.
func (p *testPair) further(s *testSide, worker int) (request, response *testMessage) {
	p.t.Helper()
	s.trafficBy(worker, "lan")
	request = p.wantSend("a busy worker asks for its own", s, wire.CreateChildSA, false, furtherRequest)
	p.deliver(request)
	return request, p.wantSend("the peer agrees", s.other(), wire.CreateChildSA, true, furtherResponse)
}

// addWorker is further, whole.
func (p *testPair) addWorker(s *testSide, worker int) {
	p.t.Helper()
	_, response := p.further(s, worker)
	p.deliver(response)
}

// Either side may send from other ports than that of the path on a pair for a single resource, if
// both announced it, and on its successors; the pair for all tells where the peer is.
func TestOtherPorts(t *testing.T) {
	for name, tt := range map[string]struct {
		right EncapMode
		want  bool
	}{"both can": {EncapAuto, true}, "one cannot": {EncapNever, false}} {
		p := upWithWorkers(t, 2, 2, func(p *testPair) { p.right.peers[0].Encap = tt.right })
		p.addWorker(p.left, 2)
		p.addWorker(p.right, 2)
		for _, rekeyed := range []string{"", "lan"} {
			for _, s := range p.sides() {
				for _, psa := range s.plane.ofPolicy(s.policy("lan")) {
					if want := tt.want && psa.sa.Resource > 0; psa.sa.OtherPorts != want {
						t.Errorf("%s: %s's pair for worker %d has OtherPorts %t, want %t", name, s.name, psa.sa.Resource, psa.sa.OtherPorts, want)
					}
				}
			}
			p.script(false)
			p.left.rekey(rekeyed)
			p.drive(time.Minute)
			p.wantPairs("lan", 3)
		}
	}
}

// The exchange that makes the first Child SA, IKE_AUTH or CREATE_CHILD_SA, carries the notify
// (Section 3).
func TestIKEAuthSpeaksOfResources(t *testing.T) {
	for _, tt := range []struct {
		workers           [2]int
		able              [2]bool
		request, response bool
	}{
		{[2]int{2, 2}, [2]bool{true, true}, true, true},
		{[2]int{2, 1}, [2]bool{true, true}, true, true}, // who would not ask agrees all the same
		{[2]int{1, 2}, [2]bool{true, true}, false, false},
		{[2]int{2, 2}, [2]bool{false, true}, false, false},
		{[2]int{2, 2}, [2]bool{true, false}, true, false},
	} {
		p := newPair(t, 1, func(p *testPair) {
			withWorkers(tt.workers[0], tt.workers[1])(p)
			p.left.peers[0].PerResource, p.right.peers[0].PerResource = tt.able[0], tt.able[1]
			p.scripted = true
		})
		p.left.connect("lan")
		p.deliver(p.wantSend("left begins", p.left, wire.IKESAInit, false, "..."))
		p.deliver(p.wantSend("right answers", p.right, wire.IKESAInit, true, "..."))
		for _, m := range []struct {
			s    *testSide
			resp bool
			want bool
		}{{p.left, false, tt.request}, {p.right, true, tt.response}} {
			msg := p.wantSend("IKE_AUTH", m.s, wire.IKEAuth, m.resp, "...")
			n, ok := wire.FindNotify(msg.payloads, wire.SAResourceInfo)
			if ok != m.want || ok && len(n.Data) > 0 {
				p.fatalf("%+v: %s's IKE_AUTH speaks of resources: %t, want %t, of none in particular", tt, m.s.name, ok, m.want)
			}
			p.deliver(msg)
		}
		if !tt.response {
			p.left.trafficBy(1, "lan")
			p.right.trafficBy(1, "lan")
			p.wantIdle("nobody asks a peer that does not do it")
			for _, s := range []*testSide{p.left, p.right} {
				if psa := s.plane.ofPolicy(s.policy("lan"))[0]; psa.sa.PerResource {
					p.fatalf("%+v: workers of %s's dataplane are to ask for their own", tt, s.name)
				}
			}
		}
	}
}

// A peer asks for a further Child SA beside one that we hold to be replaced by one on another IKE
// SA, of which it need not know. It does not become one for all workers.
func TestFurtherChildBesideARedundantOne(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	main := p.right.main().children.Pairs()[0]
	var fx Effects
	p.right.e.handling = handling{now: p.now, fx: &fx}
	main.Replaced(new(child.Pair)) // it has ended by now
	p.addWorker(p.left, 2)
	pol := main.Policy()
	if len(pol.Main().Pairs()) != 1 || len(pol.Further()) != 1 {
		p.fatalf("right has %d pairs for all workers, and %d workers with their own", len(pol.Main().Pairs()), len(pol.Further()))
	}
	p.script(false)
	p.drive(2 * time.Minute)
	p.wantPairs("lan", 2)
	p.wantSender(p.left, 2, 2)
	p.wantSender(p.right, 2, 0)
}

// A tunnel has one pair until a worker is busy; then that worker has its own, at both ends,
// whichever side asks.
func TestWorkersAskForTheirOwn(t *testing.T) {
	p := upWithWorkers(t, 2, 3, nil)
	p.wantIdle("one pair is enough while nobody is busy")
	request, response := p.further(p.left, 2)
	n, _ := wire.FindNotify(request.payloads, wire.SAResourceInfo)
	if n.Protocol != 0 || len(n.SPI) != 0 || !bytes.Equal(n.Data, []byte{0, 0, 0, 1}) {
		p.fatalf("the notify of worker 2 (counted from 1) is %+v", n)
	}
	p.wantSender(p.left, 2, 0)
	p.deliver(response)
	own := p.wantSender(p.left, 2, 2)
	p.wantSender(p.left, 1, 0)
	if !own.sa.PerResource {
		p.fatalf("SPI %08x is not for a resource", own.sa.SPIIn)
	}
	theirs := p.right.plane.inbound[own.sa.SPIOut]
	if theirs.sa.Resource != 1 {
		p.fatalf("right has it for worker %d; want the first of 3", theirs.sa.Resource)
	}
	p.wantSender(p.right, 1, 0) // until it is sure that left has it
	p.left.trafficBy(2, "lan")
	p.drive(50 * time.Millisecond)
	p.wantSender(p.right, 1, 1)
	p.addWorker(p.right, 3)
	p.wantSender(p.right, 3, 3)
	p.left.trafficBy(1, "lan")
	p.left.trafficBy(2, "lan")
	p.drive(provenLimit + time.Second) // right's third worker does not send: left waits until right surely has it
	p.wantSender(p.left, 1, 1)
	p.wantIdle("every worker of left has its own")
	p.wantPairs("lan", 3)
	p.wantNoLoss()
}

// A responder gives the Child SA to the resource that has least (Section 4): both sides'
// wishes at the same moment give each worker one, and what was still to be asked for is there.
func TestSimultaneousFurtherChildren(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	var requests, responses []*testMessage
	sides := []*testSide{p.left, p.right}
	for _, s := range sides {
		s.trafficBy(1, "lan")
		s.trafficBy(2, "lan")
	}
	for _, s := range sides {
		requests = append(requests, p.wantSend("both ask for the first", s, wire.CreateChildSA, false, furtherRequest))
	}
	for i, s := range sides {
		p.deliver(requests[i])
		responses = append(responses, p.wantSend("and both agree", s.other(), wire.CreateChildSA, true, furtherResponse))
	}
	for _, m := range responses {
		p.deliver(m)
	}
	p.drive(provenLimit + time.Second)
	for _, s := range sides {
		p.wantSender(s, 1, 1)
		p.wantSender(s, 2, 2)
	}
	p.wantIdle("the second workers were given the peer's")
	p.wantPairs("lan", 3)
	p.wantNoLoss()
}

// The algorithms and selectors are those of the first Child SA (Section 3).
func TestFurtherChildHasTheSameProperties(t *testing.T) {
	chacha := wire.Proposal{Protocol: wire.ProtoESP, Transforms: []wire.Transform{
		{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}, {Type: wire.TransformESN, ID: wire.ESNNo}, {Type: wire.TransformKE, ID: wire.GroupX25519},
	}}
	p := upWithWorkers(t, 2, 2, func(p *testPair) {
		p.left.peers[0].Children[0].Proposals = []wire.Proposal{testESPProposal, chacha}
		p.right.peers[0].Children[0].Proposals = []wire.Proposal{chacha}
	})
	p.left.trafficBy(1, "lan")
	request := p.wantSend("left asks, with PFS as configured", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519), TSi, TSr, N(SA_RESOURCE_INFO)")
	sa := firstOf[*wire.SA](request.payloads)
	if len(sa.Proposals) != 1 || sa.Proposals[0].Transforms[0].ID != wire.EncrChaCha20Poly1305 {
		p.fatalf("left offers %v, want the one that was chosen before", sa.Proposals)
	}
	p.deliver(request)
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(x25519), TSi, TSr, N(SA_RESOURCE_INFO)"))
	p.drive(time.Millisecond)
	p.wantSender(p.left, 1, 1)
	p.wantPairs("lan", 2)
}

// A wrong guess of the group is corrected as for any Child SA.
func TestFurtherChildCorrectsGroup(t *testing.T) {
	p := upWithWorkers(t, 2, 2, func(p *testPair) {
		p.left.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupX25519)}
		ts := &p.left.peers[0].Children[0].Proposals[0].Transforms
		*ts = append(*ts, wire.Transform{Type: wire.TransformKE, ID: wire.GroupECP256})
		p.right.peers[0].Children[0].Proposals = []wire.Proposal{withGroup(testESPProposal, wire.GroupECP256)}
	})
	p.left.trafficBy(1, "lan")
	p.deliver(p.wantSend("left asks", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(x25519), TSi, TSr, N(SA_RESOURCE_INFO)"))
	p.deliver(p.wantSend("right wants its group", p.right, wire.CreateChildSA, true, "N(INVALID_KE_PAYLOAD)"))
	p.deliver(p.wantSend("left asks again", p.left, wire.CreateChildSA, false, "SA, Nonce, KE(ecp256), TSi, TSr, N(SA_RESOURCE_INFO)"))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, "SA, Nonce, KE(ecp256), TSi, TSr, N(SA_RESOURCE_INFO)"))
	p.drive(time.Millisecond)
	p.wantPairs("lan", 2)
}

// A peer that announced support, but answers a further request without the notify, made one for no
// worker: it is deleted, and no other is requested.
func TestAnswerWithoutTheNotify(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	p.right.e.peers.order[0].cfg.PerResource = false
	p.left.trafficBy(1, "lan")
	p.deliver(p.wantSend("left asks", p.left, wire.CreateChildSA, false, furtherRequest))
	p.deliver(p.wantSend("right makes a common one", p.right, wire.CreateChildSA, true, "SA, Nonce, TSi, TSr"))
	p.deliver(p.wantSend("left deletes it", p.left, wire.Informational, false, "D(ESP x1)"))
	p.deliver(p.wantSend("right deletes its half", p.right, wire.Informational, true, "D(ESP x1)"))
	p.wantSender(p.left, 1, 0)
	p.left.trafficBy(2, "lan")
	p.wantIdle("left asks for no more")
	p.drive(lingerPair)
	p.wantPairs("lan", 1)
	p.wantNoLoss()
}

// The first selectors of a request may be those of the packet that triggered it (Section 4).
// Selectors that lead to something else belong to another Child SA.
func TestFurtherChildsSelectors(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	p.script(false)
	a := newAttack(p)
	info := &wire.Notify{Protocol: 3, SPI: []byte{1, 2, 3, 4}, Kind: wire.SAResourceInfo, Data: []byte("any name")} // protocol and SPI are to be ignored (Section 5.1)
	ask := func(local, remote []selector.Selector) int {
		ps := append(a.childRequest(nil), info)
		for i, pl := range ps {
			if ts, ok := pl.(*wire.TS); ok && !ts.Responder {
				ps[i] = wireTS(false, remote)
			} else if ok {
				ps[i] = wireTS(true, local)
			}
		}
		pol := p.right.e.policies.byID[p.right.policy("lan")]
		ofWorkers := func() int { return len(pol.Further()) - len(pol.Parts()) }
		before := ofWorkers()
		a.asPeer(p.right, wire.CreateChildSA, ps...)
		return ofWorkers() - before
	}
	lan := p.right.peers[0].Children[0]
	one := func(s string) []selector.Selector { return testNetworks(s) }
	if ask(append(one("10.2.0.7/32"), lan.Local...), append(one("10.1.0.9/32"), lan.Remote...)) != 1 {
		p.fatalf("a packet's selectors before all others: not for one worker")
	}
	if ask(one("0.0.0.0/0"), one("10.0.0.0/8")) != 1 {
		p.fatalf("what comes to the same selectors: not for one worker")
	}
	if ask(one("10.2.0.0/25"), lan.Remote) != 0 {
		p.fatalf("narrower selectors: for one worker")
	}
}

func (p *testPair) countPairs(s *testSide, child string) int {
	return len(s.plane.ofPolicy(s.policy(child)))
}

// A side that makes no further one answers TS_MAX_QUEUE, and never NO_ADDITIONAL_SAS, which would
// apply to all selectors (Section 6). The other side then stops asking for a while.
func TestTooManyFurtherChildren(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers int
		limit   int // of right's Child SAs; 0: the usual
		most    int
	}{
		{"one policy's", leastResourceSAs + 4, 0, 1 + leastResourceSAs},
		{"one IKE SA's", 4, 3, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := upWithWorkers(t, tt.workers, 2, func(p *testPair) { p.right.config.Limits.MaxChildren = tt.limit })
			for worker := 1; p.countPairs(p.right, "lan") < tt.most; worker++ {
				p.addWorker(p.left, worker)
			}
			p.left.trafficBy(tt.workers, "lan")
			p.deliver(p.wantSend("left asks for one too many", p.left, wire.CreateChildSA, false, furtherRequest))
			p.deliver(p.wantSend("right has enough", p.right, wire.CreateChildSA, true, "N(TS_MAX_QUEUE)"))
			p.wantNotice(p.left, "resource-failed")
			p.left.trafficBy(tt.workers-1, "lan")
			p.left.trafficBy(tt.workers, "lan")
			p.wantIdle("left asks no more")
			p.wantSender(p.left, tt.workers, 0)
			p.wantPairs("lan", tt.most)
			if n := p.right.e.Counters()["ike_ts_max_queue"]; n != 1 {
				p.fatalf("right counts %d refusals", n)
			}
			p.drive(resourcePause + resourcePause/10)
			p.left.trafficBy(tt.workers, "lan")
			p.wantSend("left asks again after a while", p.left, wire.CreateChildSA, false, furtherRequest)
		})
	}
}

// Other refusals: nothing waits for the Child SA, and the tunnel goes on.
func TestFurtherChildIsRefused(t *testing.T) {
	for _, tt := range []struct {
		answer string
		make   func(p *testPair) // what makes right refuse
		pause  time.Duration
	}{
		{"N(TEMPORARY_FAILURE)", func(p *testPair) {
			p.right.rekey("")
			p.wantSend("right rekeys the IKE SA", p.right, wire.CreateChildSA, false, "SA, Nonce, KE(x25519)")
		}, 3 * timer.TemporaryPause},
		{"N(NO_PROPOSAL_CHOSEN)", func(p *testPair) {
			other := testESPProposal
			other.Transforms = []wire.Transform{{Type: wire.TransformENCR, ID: wire.EncrChaCha20Poly1305}, {Type: wire.TransformESN, ID: wire.ESNNo}}
			pol := p.right.e.policies.byID[p.right.policy("lan")]
			pol.Settings.Proposals, negotiated(pol.Main().Pairs()[0]).proposal = []wire.Proposal{other}, other
		}, 2 * resourcePause},
	} {
		p := upWithWorkers(t, 2, 2, nil)
		tt.make(p)
		p.left.trafficBy(1, "lan")
		p.deliver(p.wantSend("left asks", p.left, wire.CreateChildSA, false, furtherRequest))
		p.deliver(p.wantSend("right refuses", p.right, wire.CreateChildSA, true, tt.answer))
		p.left.trafficBy(2, "lan")
		p.wantSender(p.left, 1, 0)
		if n := len(p.left.plane.allocated) + len(p.left.out); n > 0 {
			p.fatalf("%s: an SPI is kept, or something is asked at once", tt.answer)
		}
		p.script(false) // right sends again what was not delivered
		p.drive(tt.pause)
		p.script(true)
		p.left.trafficBy(2, "lan")
		p.wantSend("left asks again after a while", p.left, wire.CreateChildSA, false, furtherRequest)
	}
}

// What is asked for by mistake, or too late, changes nothing.
func TestNeedlessWishes(t *testing.T) {
	p := upWithWorkers(t, 2, 2, nil)
	for _, in := range []Acquire{
		{Policy: p.left.policy("lan"), Resource: 3},
		{Policy: p.left.policy("none"), Resource: 1},
		{Policy: 99, Resource: 1},
	} {
		p.left.handle(in)
	}
	p.wantIdle("there are no such workers and policies")
	p.left.handle(Acquire{Policy: p.left.policy("lan"), Resource: 1})
	p.left.handle(Acquire{Policy: p.left.policy("lan"), Resource: 1})
	p.deliver(p.wantSend("left asks once", p.left, wire.CreateChildSA, false, furtherRequest))
	p.deliver(p.wantSend("right agrees", p.right, wire.CreateChildSA, true, furtherResponse))
	p.left.handle(Acquire{Policy: p.left.policy("lan"), Resource: 1})
	p.wantIdle("the worker has it")
	if text := fmt.Sprint(p.left.failed); text != "map[]" {
		p.fatalf("kept packets were given up: %s", text)
	}
}

// TestMostFurtherChildren: RFC 9611, Section 6 recommends twice the number of processors; a peer
// may have more of them than we.
func TestMostFurtherChildren(t *testing.T) {
	for resources, want := range map[int]int{0: 16, 1: 16, 8: 16, 9: 18, 64: 128} {
		e := &Engine{cfg: Config{Resources: resources}}
		if got := e.maxResourceSAs(); got != want {
			t.Errorf("with %d workers: %d, want %d", resources, got, want)
		}
	}
}
